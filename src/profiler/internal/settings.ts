/**
 * Resolves the profiler's options: defaults and bounds.
 */
import * as Duration from "effect/Duration"
import type { Settings } from "./callRecorder.ts"

/**
 * Options of the profiler. A value outside its bounds is a defect that names the option.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProfilerOptions {
  /** The measurements to take. `standard` when absent. */
  readonly level?: "wall" | "standard" | "deep" | undefined
  /**
   * The share of an operation's own time, and of the process's elapsed time after the first millisecond, that samples
   * may cost. One call in 1,024 is sampled regardless, while the process's share allows it. From 0 to 1; 0.01 when
   * absent.
   */
  readonly budget?: number | undefined
  /**
   * The maximum number of names, from 1 to 100,000; 500 when absent. Calls of further names are counted as `(others)`.
   * A name takes about 2 KB, plus at most 16 KB per histogram, and is truncated to 200 characters.
   */
  readonly maxNames?: number | undefined
  /** The maximum number of call paths at level `deep`, from 1 to 100,000; 2,000 when absent. */
  readonly maxCallPaths?: number | undefined
  /** The maximum number of statements, from 1 to 100,000; 500 when absent. The least recently seen one is evicted. */
  readonly maxStatements?: number | undefined
  /** The duration from which an execution of a statement is slow. 100 milliseconds when absent. */
  readonly slowThreshold?: Duration.Input | undefined
  /** The maximum number of slow executions; the newest remain. From 0 to 10,000; 100 when absent. */
  readonly maxSlow?: number | undefined
  /**
   * The number of runs of one statement or query under one span, within 10 s, from which it is reported as repeated
   * (N+1). At least 2; 10 when absent.
   */
  readonly repeatThreshold?: number | undefined
}

class InvalidOption extends RangeError {}

const number = (name: string, value: number, from: number, to: number): number => {
  if (value >= from && value <= to) return value
  throw new InvalidOption(`Profiler: ${name} is ${value}; give a number from ${from} to ${to}`)
}

const whole = (name: string, value: number, from: number, to: number): number => {
  if (Number.isInteger(value)) return number(name, value, from, to)
  throw new InvalidOption(`Profiler: ${name} is ${value}; give a whole number from ${from} to ${to}`)
}

const millis = (name: string, value: Duration.Input): number => {
  const duration = Duration.fromInput(value)
  if (duration._tag === "Some") return number(`${name} (milliseconds)`, Duration.toMillis(duration.value), 0, Infinity)
  throw new InvalidOption(`Profiler: ${name} is no duration; give one such as "100 millis"`)
}

const levels = ["wall", "standard", "deep"] as const

const level = (value: ProfilerOptions["level"] = "standard"): Settings["level"] => {
  if (levels.includes(value)) return value
  throw new InvalidOption(`Profiler: level is ${String(value)}; give one of ${levels.join(", ")}`)
}

/** Throws a `RangeError` that names the invalid option. */
export const resolve = (options: ProfilerOptions): Settings => ({
  level: level(options.level),
  budget: number("budget", options.budget ?? 0.01, 0, 1),
  maxNames: whole("maxNames", options.maxNames ?? 500, 1, 100_000),
  maxCallPaths: whole("maxCallPaths", options.maxCallPaths ?? 2_000, 1, 100_000),
  maxStatements: whole("maxStatements", options.maxStatements ?? 500, 1, 100_000),
  slowMs: millis("slowThreshold", options.slowThreshold ?? Duration.millis(100)),
  maxSlow: whole("maxSlow", options.maxSlow ?? 100, 0, 10_000),
  repeats: whole("repeatThreshold", options.repeatThreshold ?? 10, 2, 1_000_000)
})
