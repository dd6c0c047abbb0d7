/**
 * A log-linear histogram: each power of two is cut into 32 equal buckets, found from the bits of the number itself.
 *
 * A percentile is the middle of its bucket, so it is off by 1/64 = 1.6 % at most, whatever the values are; count, sum,
 * smallest and largest are exact. Values from 2^-20 to 2^44 have buckets (in milliseconds: from a nanosecond to
 * centuries; in bytes: from none to 16 TiB); what is below counts as zero, what is above as the last bucket.
 *
 * Memory is one number a bucket for the powers between the smallest and the largest value, 16 KiB at most. Two
 * histograms merge by addition, exactly.
 */
const bucketsPerPower = 32
const smallestPower = -20
const powers = 64
const bucketCount = powers * bucketsPerPower

const smallest = 2 ** smallestPower
const largest = 2 ** (smallestPower + powers)
/** The upper word of a float64 less its last 15 bits: the power, and 5 bits of what stands after the point. */
const offset = (1023 + smallestPower) * bucketsPerPower

const float = new Float64Array(1)
const words = new Uint32Array(float.buffer)
float[0] = 1
const upper = words[1] === 0 ? 0 : 1

const indexOf = (value: number): number => {
  float[0] = value
  return Math.min((words[upper]! >>> 15) - offset, bucketCount - 1)
}

/** The value that stands for a bucket. */
export const middle = (index: number): number =>
  2 ** (smallestPower + Math.floor(index / bucketsPerPower)) * (1 + ((index % bucketsPerPower) + 0.5) / bucketsPerPower)

/** What of a histogram is written down: buckets that are not empty, by their index, which never changes its meaning. */
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
  /** The index of the first bucket that there is memory for. */
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

/** Makes memory for the power of a bucket, and for those between it and what there is. */
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

/** Records a value, once or so many times. A negative one, and what is no number, counts as zero; one beyond 2^44 as that. */
export const record = (self: Histogram, value: number, times = 1): void => {
  const known = value > 0 ? Math.min(value, largest) : 0
  self.count += times
  self.sum += known * times
  if (known < self.min) self.min = known
  if (known > self.max) self.max = known
  if (known < smallest) self.zeros += times
  else add(self, indexOf(known), times)
}

/** Adds what another one has recorded. */
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
 * How many values a percentile needs before it means anything: so many that three of them lie beyond it. 6 for the
 * median, 30 for p90, 60 for p95, 300 for p99.
 */
export const needed = (quantile: number): number => Math.ceil(3 / (1 - quantile) - 1e-9)

/** The value that this part of all values does not exceed (nearest rank); `undefined` where there are too few. */
export const percentile = (self: Histogram, quantile: number): number | undefined =>
  self.count < needed(quantile) ? undefined : estimate(self, quantile)

/** As `percentile`, however few values there are. */
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

/** How many values do not exceed each bound, for exports with buckets of their own; exact but for one bucket's width. */
export const cumulative = (self: Histogram, bounds: ReadonlyArray<number>): ReadonlyArray<number> =>
  bounds.map((bound) => {
    let count = bound >= 0 ? self.zeros : 0
    for (let at = 0; at < self.buckets.length; at++) {
      if (middle(self.from + at) <= bound) count += self.buckets[at]!
    }
    return bound >= self.max ? self.count : count
  })
