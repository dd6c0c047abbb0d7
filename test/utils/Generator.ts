/** A small generator of numbers: a run can be repeated from its seed. */
export interface Generator {
  /** From 0 up to, and without, 1. */
  readonly number: () => number
  /** From 0 up to, and without, `below`. */
  readonly int: (below: number) => number
  readonly chance: (probability: number) => boolean
}

export const make = (seed: number): Generator => {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  return { number: next, int: (below) => Math.floor(next() * below), chance: (probability) => next() < probability }
}
