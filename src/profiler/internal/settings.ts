/**
 * Resolves the profiler's options: defaults and bounds.
 */
import * as Duration from "effect/Duration"
import type { ProfilerOptions } from "../Profiler.ts"
import type { Settings } from "./callRecorder.ts"

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
