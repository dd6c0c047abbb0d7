/** The options of a recorder, with their defaults and bounds. */
import type * as Duration from "effect/Duration"
import * as Options from "../../internal/options.ts"

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
  /** The limit of one event's JSON in bytes. From 1 to 16 MiB and to half of `maxBytes`; default: 1 MiB, or that half. */
  readonly maxEventBytes?: number | undefined
  /** The limit of a batch in bytes; a single event may exceed it. From 1 KiB to 64 MiB; default: 1 MiB. */
  readonly maxBatchBytes?: number | undefined
  /**
   * The wait for another process's lock before a retry. SQLite blocks the thread meanwhile. From 0 to 60 seconds;
   * default: 100 milliseconds.
   */
  readonly busyTimeout?: Duration.Input | undefined
  /** The number of new events of this process that trigger a delivery. From 1 to `maxBatchSize`; default: 100, or that size. */
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

export interface SpoolFileSettings {
  readonly filename: string
  readonly durability: "normal" | "full"
  readonly maxBytes: number
  readonly maxRows: number
  readonly busyTimeoutMs: number
}

const owner = "EventRecorder"
const hour = 3_600_000
const mebi = 1_048_576

type Read = Parameters<Parameters<typeof Options.resolveAll>[1]>[0]

const common = (read: Read, options: DirectOptions) => {
  const maxBatchSize = read.whole("maxBatchSize", options.maxBatchSize ?? 1_000, 1, 100_000)
  return {
    policy: read.oneOf("whenFull", options.whenFull ?? "block", ["block", "dropNewest", "fail"]),
    deadlineMs: read.duration("deadline", options.deadline ?? 5_000, 1, hour),
    maxQueued: read.whole("maxQueued", options.maxQueued ?? 10_000, 1, 10_000_000),
    maxEventBytes: Infinity,
    batchSize: maxBatchSize,
    maxBatchSize,
    maxBatchBytes: Infinity,
    intervalMs: 0,
    deliverTimeoutMs: read.duration("deliverTimeout", options.deliverTimeout ?? 10_000, 10, hour),
    shutdownMs: read.duration("shutdownTimeout", options.shutdownTimeout ?? 5_000, 0, hour),
    drain: false,
    dutyCycle: 1,
    leaseMs: 0,
    backoffMs: 100,
    maxBackoffMs: 30_000
  }
}

export type Settings = Readonly<ReturnType<typeof common>>

/** Throws an `InvalidOption`. */
export const direct = (options: DirectOptions): Settings => Options.resolveAll(owner, (read) => common(read, options))

export interface SpoolSettings {
  readonly settings: Settings
  readonly file: SpoolFileSettings
}

/** Throws an `InvalidOption`. */
export const spool = (options: SpoolOptions): SpoolSettings =>
  Options.resolveAll(owner, (read, refuse) => {
    const { filename } = options
    if (filename === "" || filename === ":memory:") refuse("filename must be the path of a file")
    const shared = common(read, options)
    const { maxBatchSize } = shared
    const maxBytes = read.whole("maxBytes", options.maxBytes ?? 64 * mebi, 65_536, 16 * 1_024 * mebi)
    // A larger event would not fit into an empty spool, and block all later ones.
    const largest = Math.max(1, Math.min(16 * mebi, Math.floor(maxBytes / 2)))
    return {
      settings: {
        ...shared,
        maxEventBytes: read.whole("maxEventBytes", options.maxEventBytes ?? Math.min(mebi, largest), 1, largest),
        maxBatchBytes: read.whole("maxBatchBytes", options.maxBatchBytes ?? mebi, 1_024, 64 * mebi),
        batchSize: read.whole("batchSize", options.batchSize ?? Math.min(100, maxBatchSize), 1, maxBatchSize),
        intervalMs: read.duration("interval", options.interval ?? 5_000, 10, hour),
        drain: options.drain ?? true,
        dutyCycle: read.number("dutyCycle", options.dutyCycle ?? 0.5, 0.01, 1),
        leaseMs: read.duration("lease", options.lease ?? 5_000, 100, hour)
      },
      file: {
        filename,
        durability: read.oneOf("durability", options.durability ?? "normal", ["normal", "full"]),
        maxBytes,
        maxRows: read.whole("maxRows", options.maxRows ?? 100_000, 1, 100_000_000),
        busyTimeoutMs: read.duration("busyTimeout", options.busyTimeout ?? 100, 0, 60_000)
      }
    }
  })

const { duration, whole } = Options.reader(owner)

/** The timeout of one operation. */
export const timeoutMs = (timeout: Duration.Input | undefined, settings: Settings): number =>
  timeout === undefined ? settings.deadlineMs : duration("timeout", timeout, 0, Infinity)

export const deadLetterLimit = (limit: number): number => whole("limit", limit, 0, Infinity)
