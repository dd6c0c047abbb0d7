/**
 * Takes the readings that are too expensive for every call, on as many calls as a budget allows.
 *
 * Each operation earns a share of its own time, and the process a share of the elapsed time. A sample is taken while
 * both can afford it. The cost of a sample is measured when it is taken.
 */
import { type Operation, SampleTotals } from "./operations.ts"
import type { CpuTime, Readings } from "./processReadings.ts"

/** The call counts at the start or end of a sample. */
export interface Calls {
  readonly open: number
  /** All started calls, and the started calls without an enclosing one. */
  readonly startedCalls: number
  readonly outermost: number
}

export interface Sample {
  readonly cpu: CpuTime
  readonly memory: number
  readonly peak: boolean
  readonly before: Calls
  /** The cost of its first readings, and the amount charged at its start, in milliseconds. */
  readonly cost: number
  readonly charged: number
}

/** One call in 1,024 is sampled however short the operation is. */
const sampledEvery = 1_024

/** The initial budget of the process, in milliseconds. */
const allowanceMs = 1

/** A sample is charged at most 10 times the minimum: beyond that, something else delayed it. */
const heldUpFactor = 10

export class Sampler {
  private readonly readings: Readings
  private readonly budget: number
  private readonly withPeak: boolean
  private charged = 0
  /** The minimum cost of a sample, in milliseconds; `undefined` until the first reading. */
  private least: number | undefined = undefined
  count = 0
  /** The total cost of all readings, in milliseconds. */
  cost = 0

  constructor(readings: Readings, budget: number, withPeak: boolean) {
    this.readings = readings
    this.budget = budget
    this.withPeak = withPeak
  }

  /** Whether a sample is affordable after the elapsed time. */
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
    // Many calls may start before the first one ends, so each is charged for its second readings in advance.
    return { cpu, memory, peak, before, cost, charged: this.charge(operation, 2 * cost) }
  }

  /** The first readings load code. That cost occurs once and must not delay further samples. */
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
    const sampled = (operation.sampled ??= new SampleTotals())
    sampled.samples++
    sampled.user += user - sample.cpu.user
    sampled.system += system - sample.cpu.system
    if (before.open === 0 && after.startedCalls === before.startedCalls + 1) {
      sampled.alone++
      sampled.aloneCpu += user + system - sample.cpu.user - sample.cpu.system
    }
    if (memory < 0) sampled.memoryInvalid++
    else {
      sampled.memorySamples++
      sampled.memory += memory
      if (memory > sampled.maxMemory) sampled.maxMemory = memory
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

  /** Charges the cost of a sample, without the time it was delayed. */
  private charge(operation: Operation, cost: number): number {
    const charged = Math.min(cost, heldUpFactor * this.least!)
    this.pay(operation, charged)
    return charged
  }

  private pay(operation: Operation, cost: number): void {
    this.charged += cost
    operation.credit -= cost
  }

  /** Credits an operation with a share of a call's time, minus its bookkeeping. */
  earn(operation: Operation, wall: number, bookkeeping: number): void {
    operation.credit = Math.min(0, operation.credit + wall * this.budget - bookkeeping)
  }

  clear(): void {
    this.charged = this.cost = this.count = 0
  }
}
