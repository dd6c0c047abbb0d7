/** Resolves the profiler's options: defaults and bounds. */
import type * as Duration from "effect/Duration"
import * as Options from "../../internal/options.ts"

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

const read = Options.reader("Profiler")

/** Throws an `InvalidOption`. */
export const resolve = (options: ProfilerOptions) => ({
  level: read.oneOf("level", options.level ?? "standard", ["wall", "standard", "deep"]),
  budget: read.number("budget", options.budget ?? 0.01, 0, 1),
  maxNames: read.whole("maxNames", options.maxNames ?? 500, 1, 100_000),
  maxCallPaths: read.whole("maxCallPaths", options.maxCallPaths ?? 2_000, 1, 100_000),
  maxStatements: read.whole("maxStatements", options.maxStatements ?? 500, 1, 100_000),
  slowMs: read.duration("slowThreshold", options.slowThreshold ?? 100, 0, Infinity),
  maxSlow: read.whole("maxSlow", options.maxSlow ?? 100, 0, 10_000),
  repeats: read.whole("repeatThreshold", options.repeatThreshold ?? 10, 2, 1_000_000)
})

export type Settings = Readonly<ReturnType<typeof resolve>>
