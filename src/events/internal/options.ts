/**
 * The options of a recorder, with their defaults and bounds.
 */
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"

/**
 * What happens to an event for which there is no room.
 *
 * - `block`: its caller waits until there is, or its deadline passes.
 * - `dropNewest`: it is dropped and counted, and its caller fails with `Dropped`.
 * - `fail`: its caller fails with `SpoolFull` at once, with `DiskFull` where it is the disk that has no room.
 *
 * @category models
 * @since 0.1.0
 */
export type Policy = "block" | "dropNewest" | "fail"

/**
 * Options of any recorder.
 *
 * @category models
 * @since 0.1.0
 */
export interface DirectOptions {
  /** What happens to an event for which there is no room. `block` when absent. */
  readonly whenFull?: Policy | undefined
  /** How long an acknowledgement or a flush may take. From 1 ms to 1 hour; 5 seconds when absent. */
  readonly deadline?: Duration.Input | undefined
  /** Events that may wait in memory with nobody waiting for them (`accepted`). From 1 to 10,000,000; 10,000 when absent. */
  readonly maxQueued?: number | undefined
  /** Events of a batch at most: no more than the target takes. From 1 to 100,000; 1,000 when absent. */
  readonly maxBatchSize?: number | undefined
  /** How long the database may take for a batch. From 10 ms to 1 hour; 10 seconds when absent. */
  readonly deliverTimeout?: Duration.Input | undefined
  /** How long a shutdown may take to write and deliver. From 0 to 1 hour; 5 seconds when absent. */
  readonly shutdownTimeout?: Duration.Input | undefined
}

/**
 * Options of a recorder with a spool.
 *
 * @category models
 * @since 0.1.0
 */
export interface SpoolOptions extends DirectOptions {
  /**
   * Path of the spool, one file a recorder. The folder must exist and be on a local disk; the file is made when it does
   * not exist. SQLite's own `-wal` and `-shm` and a `.lock` stand beside it.
   */
  readonly filename: string
  /** What `spooled` survives. `normal`: a kill of the process; `full`: a power loss too, one disk sync a group. */
  readonly durability?: "normal" | "full" | undefined
  /** Bytes in use of the file, exact; its log may take 4 MiB more. From 64 KiB to 16 GiB; 64 MiB when absent. */
  readonly maxBytes?: number | undefined
  /** Events in the file, give or take 64 a process. From 1 to 100,000,000; 100,000 when absent. */
  readonly maxRows?: number | undefined
  /** The bytes of one event as JSON. From 1 to 16 MiB and half of `maxBytes`; 1 MiB when absent. */
  readonly maxEventBytes?: number | undefined
  /** Bytes of a batch at most; one event may be larger. From 1 KiB to 64 MiB; 1 MiB when absent. */
  readonly maxBatchBytes?: number | undefined
  /**
   * How long a statement waits for another process's lock before it is tried again. SQLite waits without yielding the
   * thread. From 0 to 60 seconds; 100 milliseconds when absent.
   */
  readonly busyTimeout?: Duration.Input | undefined
  /** Events of this process that bring on a flush. From 1 to `maxBatchSize`; 100 when absent. */
  readonly batchSize?: number | undefined
  /** How often the spool is flushed whatever is in it. From 10 ms to 1 hour; 5 seconds when absent. */
  readonly interval?: Duration.Input | undefined
  /** Whether this process flushes by itself; without that, by `flush` and for `committed`. `true` when absent. */
  readonly drain?: boolean | undefined
  /** The part of the time that a flush in the background may keep the database at work. From 0.01 to 1; 0.5. */
  readonly dutyCycle?: number | undefined
  /** How long the right to flush outlives a process that holds it. From 100 ms to 1 hour; 5 seconds when absent. */
  readonly lease?: Duration.Input | undefined
}

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
  readonly invalid: Array<string> = []

  count(name: string, value: number | undefined, absent: number, minimum: number, maximum: number): number {
    const count = value ?? absent
    if (!Number.isInteger(count) || count < minimum || count > maximum) {
      this.invalid.push(`${name} is ${count}; give a whole number from ${minimum} to ${maximum}`)
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
      this.invalid.push(`${name} is ${ms} ms; give a time from ${minimum} ms to ${maximum} ms`)
    }
    return ms
  }

  /** Throws a `RangeError` that names each invalid option. */
  verify(): void {
    if (this.invalid.length > 0) throw new RangeError(`EventRecorder: ${this.invalid.join("; ")}`)
  }
}

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

/** Throws a `RangeError` that names each invalid option. */
export const direct = (options: DirectOptions): Settings => {
  const check = new Check()
  const settings = common(check, options)
  check.verify()
  return settings
}

/** Throws a `RangeError` that names each invalid option. */
export const spool = (options: SpoolOptions): { readonly settings: Settings; readonly file: SpoolFileSettings } => {
  const check = new Check()
  const shared = common(check, options)
  const dutyCycle = options.dutyCycle ?? 0.5
  if (!(dutyCycle >= 0.01 && dutyCycle <= 1)) {
    check.invalid.push(`dutyCycle is ${dutyCycle}; give a share from 0.01 to 1`)
  }
  if (options.filename === "" || options.filename === ":memory:") {
    check.invalid.push("filename must be the path of a file")
  }
  const maxBytes = check.count("maxBytes", options.maxBytes, 64 * 1_048_576, 65_536, 16 * 2 ** 30)
  const maxEventBytes = check.count("maxEventBytes", options.maxEventBytes, 1_048_576, 1, 16 * 1_048_576)
  const settings: Settings = {
    ...shared,
    // An event that does not fit into an empty spool would block all later ones.
    maxEventBytes: Math.min(maxEventBytes, Math.floor(maxBytes / 2)),
    maxBatchBytes: check.count("maxBatchBytes", options.maxBatchBytes, 1_048_576, 1_024, 64 * 1_048_576),
    batchSize: Math.min(check.count("batchSize", options.batchSize, 100, 1, 100_000), shared.maxBatchSize),
    intervalMs: check.ms("interval", options.interval, "5 seconds", 10, hour),
    drain: options.drain ?? true,
    dutyCycle,
    leaseMs: check.ms("lease", options.lease, "5 seconds", 100, hour)
  }
  const file: SpoolFileSettings = {
    filename: options.filename,
    durability: options.durability ?? "normal",
    maxBytes,
    maxRows: check.count("maxRows", options.maxRows, 100_000, 1, 100_000_000),
    busyTimeoutMs: check.ms("busyTimeout", options.busyTimeout, "100 millis", 0, 60_000)
  }
  check.verify()
  return { settings, file }
}

/** Reports invalid options that were read from `Config` as a `ConfigError`. */
export const fromConfig = <A>(config: Config.Wrap<A>, resolve: (options: A) => unknown) =>
  Effect.flatMap(Config.unwrap(config), (options) =>
    Effect.as(
      Effect.try({
        try: () => resolve(options),
        catch: (error) =>
          new Config.ConfigError(
            new Schema.SchemaError(
              new SchemaIssue.InvalidValue({ message: error instanceof RangeError ? error.message : String(error) })
            )
          )
      }),
      options
    )
  )
