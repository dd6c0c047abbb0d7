/**
 * The options of a recorder, checked in one place.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { EventRecorderError, InvalidOption } from "../EventRecorderError.ts"
import type { DirectOptions, Policy, SpoolOptions } from "../EventRecorder.ts"

export interface Settings {
  readonly policy: Policy
  readonly deadlineMs: number
  readonly maxQueued: number
  readonly maxEventBytes: number
  readonly batchSize: number
  readonly maxBatchSize: number
  readonly maxBatchBytes: number
  readonly intervalMs: number
  readonly deliverTimeoutMs: number
  readonly shutdownMs: number
  readonly drain: boolean
  readonly dutyCycle: number
  readonly leaseMs: number
  readonly backoffMs: number
  readonly maxBackoffMs: number
}

export interface SpoolFileSettings {
  readonly filename: string
  readonly durability: "normal" | "full"
  readonly maxBytes: number
  readonly maxRows: number
  readonly busyTimeoutMs: number
}

class Check {
  readonly wrong: Array<string> = []

  count(name: string, value: number | undefined, absent: number, minimum: number, maximum: number): number {
    const count = value ?? absent
    if (!Number.isInteger(count) || count < minimum || count > maximum) {
      this.wrong.push(`${name} is ${count}; give a whole number from ${minimum} to ${maximum}`)
    }
    return count
  }

  ms(
    name: string,
    value: Duration.Input | undefined,
    absent: Duration.Input,
    minimum: number,
    maximum: number
  ): number {
    const duration = Duration.fromInput(value ?? absent)
    const ms = Option.isSome(duration) ? Duration.toMillis(duration.value) : Number.NaN
    if (!(ms >= minimum && ms <= maximum)) {
      this.wrong.push(`${name} is ${ms} ms; give a time from ${minimum} ms to ${maximum} ms`)
    }
    return ms
  }
}

const finish = <A>(recorder: string, check: Check, settings: A): Effect.Effect<A, EventRecorderError> =>
  check.wrong.length === 0
    ? Effect.succeed(settings)
    : Effect.fail(
        new EventRecorderError({
          recorder,
          operation: "make",
          reason: new InvalidOption({ detail: `EventRecorder: ${check.wrong.join("; ")}` })
        })
      )

const hour = 3_600_000

const common = (check: Check, options: DirectOptions): Settings => {
  const maxBatchSize = check.count("maxBatchSize", options.maxBatchSize, 1_000, 1, 100_000)
  return {
    policy: options.whenFull ?? "block",
    deadlineMs: check.ms("deadline", options.deadline, "5 seconds", 1, hour),
    maxQueued: check.count("maxQueued", options.maxQueued, 10_000, 1, 10_000_000),
    maxEventBytes: Number.POSITIVE_INFINITY,
    batchSize: maxBatchSize,
    maxBatchSize,
    maxBatchBytes: Number.POSITIVE_INFINITY,
    intervalMs: 0,
    deliverTimeoutMs: check.ms("deliverTimeout", options.deliverTimeout, "10 seconds", 10, hour),
    shutdownMs: check.ms("shutdownTimeout", options.shutdownTimeout, "5 seconds", 0, hour),
    drain: false,
    dutyCycle: 1,
    leaseMs: 0,
    backoffMs: 100,
    maxBackoffMs: 30_000
  }
}

export const direct = (recorder: string, options: DirectOptions): Effect.Effect<Settings, EventRecorderError> => {
  const check = new Check()
  return finish(recorder, check, common(check, options))
}

export const spool = (
  recorder: string,
  options: SpoolOptions
): Effect.Effect<{ readonly settings: Settings; readonly file: SpoolFileSettings }, EventRecorderError> => {
  const check = new Check()
  const shared = common(check, options)
  const dutyCycle = options.dutyCycle ?? 0.5
  if (!(dutyCycle >= 0.01 && dutyCycle <= 1)) check.wrong.push(`dutyCycle is ${dutyCycle}; give a share from 0.01 to 1`)
  if (options.filename === "" || options.filename === ":memory:")
    check.wrong.push("filename must be the path of a file")
  const maxBytes = check.count("maxBytes", options.maxBytes, 64 * 1_048_576, 65_536, 16 * 2 ** 30)
  return finish(recorder, check, {
    settings: {
      ...shared,
      // What would not fit into an empty spool would hold up all that comes after it.
      maxEventBytes: Math.min(
        check.count("maxEventBytes", options.maxEventBytes, 1_048_576, 1, 16 * 1_048_576),
        Math.floor(maxBytes / 2)
      ),
      maxBatchBytes: check.count("maxBatchBytes", options.maxBatchBytes, 1_048_576, 1_024, 64 * 1_048_576),
      batchSize: Math.min(check.count("batchSize", options.batchSize, 100, 1, 100_000), shared.maxBatchSize),
      intervalMs: check.ms("interval", options.interval, "5 seconds", 10, hour),
      drain: options.drain ?? true,
      dutyCycle,
      leaseMs: check.ms("lease", options.lease, "5 seconds", 100, hour)
    },
    file: {
      filename: options.filename,
      durability: options.durability ?? "normal",
      maxBytes,
      maxRows: check.count("maxRows", options.maxRows, 100_000, 1, 100_000_000),
      busyTimeoutMs: check.ms("busyTimeout", options.busyTimeout, "100 millis", 0, 60_000)
    }
  })
}
