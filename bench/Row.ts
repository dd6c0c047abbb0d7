/**
 * One measured row: ours and a rival, alternating in the same run.
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
  /** The target of the ratio, for example `<= 1.6`; `-` if there is none. */
  readonly target: string
  readonly ok: boolean
}

/** The target of a ratio: a maximum for times, a minimum for throughput. */
export type Target = { readonly atMost: number } | { readonly atLeast: number } | undefined

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Constructs a row from the samples of both sides. */
export const make = (options: {
  readonly bench: string
  readonly row: string
  readonly ours: ReadonlyArray<number>
  readonly rival: ReadonlyArray<number>
  readonly unit: string
  readonly target?: Target
}): Row => {
  const ours = median(options.ours)
  const rival = median(options.rival)
  // Two zeros are equal.
  const ratio = ours === rival ? 1 : ours / rival
  const target = options.target
  return {
    bench: options.bench,
    row: options.row,
    ours,
    rival,
    unit: options.unit,
    ratio,
    target: target === undefined ? "-" : "atMost" in target ? `<= ${target.atMost}` : `>= ${target.atLeast}`,
    ok: target === undefined || ("atMost" in target ? ratio <= target.atMost : ratio >= target.atLeast)
  }
}

/**
 * Alternates between two sides (A B A B) after a discarded warm-up. A sample is the number to which a side's function
 * resolves, so a side can measure internally (throughput) or be measured from outside (see `timed`).
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
