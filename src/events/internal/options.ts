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
 * The policy for an event that exceeds the limits of the recorder.
 *
 * - `block`: its caller waits for space, up to its deadline.
 * - `dropNewest`: it is dropped and counted, and its caller fails with `Dropped`.
 * - `fail`: its caller fails immediately with `SpoolFull`, or with `DiskFull` if the disk is full.
 *
 * @category models
 * @since 0.1.0
 */
export type Policy = "block" | "dropNewest" | "fail"

/**
 * Options of every recorder.
 *
 * @category models
 * @since 0.1.0
 */
export interface DirectOptions {
  /** The policy for an event that exceeds the limits. Default: `block`. */
  readonly whenFull?: Policy | undefined
  /** The deadline of an acknowledgement or a flush. From 1 ms to 1 hour; default: 5 seconds. */
  readonly deadline?: Duration.Input | undefined
  /** The most `accepted` events in memory. From 1 to 10,000,000; default: 10,000. */
  readonly maxQueued?: number | undefined
  /** The most events per batch that the target accepts. From 1 to 100,000; default: 1,000. */
  readonly maxBatchSize?: number | undefined
  /** The timeout of one batch in the database. From 10 ms to 1 hour; default: 10 seconds. */
  readonly deliverTimeout?: Duration.Input | undefined
  /** The timeout for writing and delivering at shutdown. From 0 to 1 hour; default: 5 seconds. */
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
   * The path of the spool, one file per recorder. Its folder must exist on a local disk; the file is created if absent.
   * SQLite's `-wal` and `-shm` and a `.lock` are created beside it.
   */
  readonly filename: string
  /**
   * The guarantee of `spooled`. `normal`: survives a kill of the process; `full`: also a power loss, at one disk sync
   * per group. Default: `normal`.
   */
  readonly durability?: "normal" | "full" | undefined
  /** The limit of the file's used bytes, exact; its log may take 4 MiB more. From 64 KiB to 16 GiB; default: 64 MiB. */
  readonly maxBytes?: number | undefined
  /** The limit of events in the file, within 64 per process. From 1 to 100,000,000; default: 100,000. */
  readonly maxRows?: number | undefined
  /** The limit of one event's JSON in bytes. From 1 to 16 MiB, and at most half of `maxBytes`; default: 1 MiB. */
  readonly maxEventBytes?: number | undefined
  /** The limit of a batch in bytes; a single event may exceed it. From 1 KiB to 64 MiB; default: 1 MiB. */
  readonly maxBatchBytes?: number | undefined
  /**
   * The wait for another process's lock before a retry. SQLite blocks the thread meanwhile. From 0 to 60 seconds;
   * default: 100 milliseconds.
   */
  readonly busyTimeout?: Duration.Input | undefined
  /** The number of new events of this process that trigger a delivery. From 1 to `maxBatchSize`; default: 100. */
  readonly batchSize?: number | undefined
  /** The interval of deliveries. From 10 ms to 1 hour; default: 5 seconds. */
  readonly interval?: Duration.Input | undefined
  /** Whether this process delivers in the background; otherwise only for `flush` and `committed`. Default: `true`. */
  readonly drain?: boolean | undefined
  /** The share of time in which background deliveries use the database. From 0.01 to 1; default: 0.5. */
  readonly dutyCycle?: number | undefined
  /** The time after which the lease of a dead relay lapses. From 100 ms to 1 hour; default: 5 seconds. */
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
    // A larger event would not fit into an empty spool, and block all later ones.
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
