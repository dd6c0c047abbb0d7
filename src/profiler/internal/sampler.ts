/**
 * Takes the readings that are too dear for every call, on as many calls as a budget pays for.
 *
 * Each operation earns a part of its own time and the process a part of the time that has passed, and a sample is taken
 * while both can pay for it. What a sample costs is measured when it is taken.
 */
import { type Operation, Sampled } from "./operations.ts"
import type { CpuTime, Readings } from "./processReadings.ts"

/** What is open and has begun, when a sample begins or ends. */
export interface Calls {
  readonly open: number
  /** Calls that have begun, and those of them that no other one was around. */
  readonly begun: number
  readonly outermost: number
}

export interface Sample {
  readonly cpu: CpuTime
  readonly memory: number
  readonly peak: boolean
  readonly before: Calls
  /** What its first readings cost, and what it was charged with when it began, in milliseconds. */
  readonly cost: number
  readonly charged: number
}

/** However short an operation is, each so many calls one is sampled. */
const sampledEvery = 1_024

/** What samples may cost before any time has passed, in milliseconds. */
const allowanceMs = 1

/** A sample that took so many times what samples take was held up by something else, which is not charged to it. */
const heldUpFactor = 10

export class Sampler {
  private readonly readings: Readings
  private readonly budget: number
  private readonly withPeak: boolean
  private charged = 0
  /** The least that a sample took, in milliseconds; `undefined` until the first reading. */
  private least: number | undefined = undefined
  count = 0
  /** What all readings cost, in milliseconds. */
  cost = 0

  constructor(readings: Readings, budget: number, withPeak: boolean) {
    this.readings = readings
    this.budget = budget
    this.withPeak = withPeak
  }

  /** Whether a sample can be paid for, so long after the beginning. */
  canPay(operation: Operation, elapsed: number): boolean {
    if (operation.credit < 0 && operation.wall.count % sampledEvery !== 0) return false
    return this.charged <= allowanceMs + this.budget * elapsed
  }

  begin(operation: Operation, before: Calls): Sample {
    const started = this.readings.now()
    if (this.least === undefined) this.load()
    const since = this.readings.now()
    const peak = this.withPeak && before.open === 0 && this.readings.peak?.reset() === true
    const memory = this.readings.memory()
    const cpu = this.readings.cpu()
    const now = this.readings.now()
    this.cost += now - started
    const cost = now - since
    // Many calls may begin before the first of them ends, so each pays for its second readings as well.
    return { cpu, memory, peak, before, cost, charged: this.charge(operation, 2 * cost) }
  }

  /** The first readings load what they need: that happens once, and is no reason to take no samples for long. */
  private load(): void {
    this.least = Infinity
    this.readings.memory()
    this.readings.cpu()
    if (this.withPeak) this.readings.peak?.read()
    const since = this.readings.now()
    this.readings.memory()
    this.readings.cpu()
    this.least = 2 * (this.readings.now() - since)
  }

  /** Takes the second readings. */
  end(operation: Operation, sample: Sample, after: Calls): void {
    const since = this.readings.now()
    const { before } = sample
    const { system, user } = this.readings.cpu()
    const memory = this.readings.memory() - sample.memory
    const sampled = (operation.sampled ??= new Sampled())
    sampled.samples++
    sampled.user += user - sample.cpu.user
    sampled.system += system - sample.cpu.system
    if (before.open === 0 && after.begun === before.begun + 1) {
      sampled.alone++
      sampled.aloneCpu += user + system - sample.cpu.user - sample.cpu.system
    }
    if (memory < 0) sampled.memoryInvalid++
    else {
      sampled.memorySamples++
      sampled.memory += memory
      if (memory > sampled.memoryMost) sampled.memoryMost = memory
    }
    if (sample.peak && after.outermost === before.outermost + 1) {
      sampled.peaks++
      sampled.peak = Math.max(sampled.peak, this.readings.peak!.read())
    }
    const cost = this.readings.now() - since
    this.count++
    this.cost += cost
    this.least = Math.min(this.least!, sample.cost + cost)
    this.pay(operation, -sample.charged)
    this.charge(operation, sample.cost + cost)
  }

  /** Charges what a sample cost, less what it was held up for. */
  private charge(operation: Operation, cost: number): number {
    const charged = Math.min(cost, heldUpFactor * this.least!)
    this.pay(operation, charged)
    return charged
  }

  private pay(operation: Operation, cost: number): void {
    this.charged += cost
    operation.credit -= cost
  }

  /** Credits an operation with a part of a call's time, less what keeping the books of it costs. */
  earn(operation: Operation, wall: number, books: number): void {
    operation.credit = Math.min(0, operation.credit + wall * this.budget - books)
  }

  clear(): void {
    this.charged = this.cost = this.count = 0
  }
}
