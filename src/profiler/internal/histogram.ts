/**
 * A log-linear histogram: 32 equal buckets per power of two, addressed by the bits of the float itself.
 *
 * A percentile is the middle of its bucket, so its error is at most 1/64 = 1.6 %. Count, sum, minimum and maximum are
 * exact. Buckets cover 2^-20 to 2^44 (in milliseconds: a nanosecond to centuries; in bytes: 0 to 16 TiB). Smaller
 * values count as zero, larger ones fall into the last bucket.
 *
 * Memory is one number per bucket for the powers between the smallest and the largest value, at most 16 KiB. Histograms
 * merge exactly, by addition.
 */
const bucketsPerPower = 32
const smallestPower = -20
const powers = 64
const bucketCount = powers * bucketsPerPower

const smallest = 2 ** smallestPower
const largest = 2 ** (smallestPower + powers)
/** The upper word of a float64 without its last 15 bits: the exponent and 5 bits of the mantissa. */
const offset = (1023 + smallestPower) * bucketsPerPower

const float = new Float64Array(1)
const words = new Uint32Array(float.buffer)
float[0] = 1
const upper = words[1] === 0 ? 0 : 1

const indexOf = (value: number): number => {
  float[0] = value
  return Math.min((words[upper]! >>> 15) - offset, bucketCount - 1)
}

/** The value that represents a bucket. */
export const middle = (index: number): number =>
  2 ** (smallestPower + Math.floor(index / bucketsPerPower)) * (1 + ((index % bucketsPerPower) + 0.5) / bucketsPerPower)

/** The serialised form: the non-empty buckets by their index, whose meaning never changes. */
export interface Encoded {
  readonly count: number
  readonly sum: number
  readonly min: number
  readonly max: number
  readonly zeros: number
  readonly buckets: ReadonlyArray<readonly [index: number, count: number]>
}

export interface Histogram {
  count: number
  sum: number
  min: number
  max: number
  /** Values below the first bucket. */
  zeros: number
  /** The index of the first allocated bucket. */
  from: number
  buckets: Float64Array
}

const noBuckets = new Float64Array(0)

export const make = (): Histogram => ({
  count: 0,
  sum: 0,
  min: Infinity,
  max: 0,
  zeros: 0,
  from: 0,
  buckets: noBuckets
})

/** Allocates the power of a bucket and the powers between it and the allocated ones. */
const grow = (self: Histogram, index: number): void => {
  const power = index - (index % bucketsPerPower)
  const to = power + bucketsPerPower
  const from = self.buckets.length === 0 ? power : Math.min(self.from, power)
  const end = self.buckets.length === 0 ? to : Math.max(self.from + self.buckets.length, to)
  const buckets = new Float64Array(end - from)
  buckets.set(self.buckets, Math.max(0, self.from - from))
  self.from = from
  self.buckets = buckets
}

const add = (self: Histogram, index: number, count: number): void => {
  const at = index - self.from
  if (at >= 0 && at < self.buckets.length) {
    self.buckets[at]! += count
    return
  }
  grow(self, index)
  self.buckets[index - self.from]! += count
}

/** Records a value, `times` times. Negative values and NaN count as zero; values above 2^44 as 2^44. */
export const record = (self: Histogram, value: number, times = 1): void => {
  const known = value > 0 ? Math.min(value, largest) : 0
  self.count += times
  self.sum += known * times
  if (known < self.min) self.min = known
  if (known > self.max) self.max = known
  if (known < smallest) self.zeros += times
  else add(self, indexOf(known), times)
}

export const merge = (self: Histogram, other: Encoded): void => {
  self.count += other.count
  self.sum += other.sum
  self.min = Math.min(self.min, other.count === 0 ? Infinity : other.min)
  self.max = Math.max(self.max, other.max)
  self.zeros += other.zeros
  for (const [index, count] of other.buckets) add(self, Math.min(Math.max(index, 0), bucketCount - 1), count)
}

export const encode = (self: Histogram): Encoded => {
  const buckets: Array<readonly [number, number]> = []
  self.buckets.forEach((count, at) => {
    if (count > 0) buckets.push([self.from + at, count])
  })
  const { count, max, sum, zeros } = self
  return { count, sum, min: count === 0 ? 0 : self.min, max, zeros, buckets }
}

export const decode = (encoded: Encoded): Histogram => {
  const self = make()
  merge(self, encoded)
  return self
}

/**
 * The number of values from which a percentile is reported: three values must lie beyond it. 6 for the median, 30 for
 * p90, 60 for p95, 300 for p99.
 */
export const needed = (quantile: number): number => Math.ceil(3 / (1 - quantile) - 1e-9)

/** The percentile by nearest rank, or `undefined` with too few values. */
export const percentile = (self: Histogram, quantile: number): number | undefined =>
  self.count < needed(quantile) ? undefined : estimate(self, quantile)

/** The percentile by nearest rank, for any number of values. */
export const estimate = (self: Histogram, quantile: number): number => {
  const rank = Math.max(1, Math.ceil(quantile * self.count))
  let seen = self.zeros
  if (rank <= seen) return 0
  for (let at = 0; at < self.buckets.length; at++) {
    seen += self.buckets[at]!
    if (seen >= rank) return Math.min(self.max, Math.max(self.min, middle(self.from + at)))
  }
  return self.max
}

/** The number of values up to each bound, for exports with their own buckets; exact to one bucket's width. */
export const cumulative = (self: Histogram, bounds: ReadonlyArray<number>): ReadonlyArray<number> =>
  bounds.map((bound) => {
    let count = bound >= 0 ? self.zeros : 0
    for (let at = 0; at < self.buckets.length; at++) {
      if (middle(self.from + at) <= bound) count += self.buckets[at]!
    }
    return bound >= self.max ? self.count : count
  })
