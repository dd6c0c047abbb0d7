/**
 * One measured line: ours beside a rival, timed in turn in the same run.
 */
export interface Row {
  readonly bench: string
  readonly row: string
  /** Median of ours, in `unit`. */
  readonly ours: number
  /** Median of the rival, in `unit`. */
  readonly rival: number
  readonly unit: string
  /** `ours / rival`. */
  readonly ratio: number
  /** What is asked of the ratio, for example `<= 1.6`; `-` where nothing is. */
  readonly asked: string
  readonly ok: boolean
}

/** What is asked of a ratio: at most for times, at least for throughput. */
export type Asked = { readonly atMost: number } | { readonly atLeast: number } | undefined

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Makes a row from the samples of both sides. */
export const make = (options: {
  readonly bench: string
  readonly row: string
  readonly ours: ReadonlyArray<number>
  readonly rival: ReadonlyArray<number>
  readonly unit: string
  readonly asked?: Asked
}): Row => {
  const ours = median(options.ours)
  const rival = median(options.rival)
  // Two zeros are alike.
  const ratio = ours === rival ? 1 : ours / rival
  const asked = options.asked
  return {
    bench: options.bench,
    row: options.row,
    ours,
    rival,
    unit: options.unit,
    ratio,
    asked: asked === undefined ? "-" : "atMost" in asked ? `<= ${asked.atMost}` : `>= ${asked.atLeast}`,
    ok: asked === undefined || ("atMost" in asked ? ratio <= asked.atMost : ratio >= asked.atLeast)
  }
}

/**
 * Times two sides in turn (A B A B), after a warm-up that is thrown away. A sample is whatever a side's function
 * resolves to, so that it may measure from inside (throughput) or be measured around (see `timed`).
 */
export const interleave = async (options: {
  readonly rounds: number
  readonly warmup: number
  readonly ours: () => Promise<number>
  readonly rival: () => Promise<number>
}): Promise<{ readonly ours: ReadonlyArray<number>; readonly rival: ReadonlyArray<number> }> => {
  const ours: Array<number> = []
  const rival: Array<number> = []
  for (let round = 0; round < options.warmup + options.rounds; round++) {
    const a = await options.ours()
    const b = await options.rival()
    if (round < options.warmup) continue
    ours.push(a)
    rival.push(b)
  }
  return { ours, rival }
}

/** Turns an action into a sample of its wall time in milliseconds. */
export const timed = (action: () => Promise<unknown> | void) => async (): Promise<number> => {
  const start = performance.now()
  await action()
  return performance.now() - start
}
