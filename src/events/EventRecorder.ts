/**
 * Records events in batches and loses none that it has acknowledged.
 *
 * Who records an event says what it wants to wait for: `accepted`, until it is in memory; `spooled`, until it is in a file
 * on this host, which survives the end of the process at any instruction; `committed`, until it is in the database. Events
 * go from the spool into the database in batches, each by one `Mutation` in one transaction, by whichever process lives.
 * What was acknowledged at `spooled` or above is in the database once after recovery, given a target that stores each id
 * once. A database that is away, slow or restarting costs time and no events; an event that the database refuses is set
 * aside with its reason and the rest goes through.
 *
 * Where the database is a file on this host already, `layerDirect` writes once and needs no spool.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Mutation } from "../query/Mutation.ts"
import { QueryExecutor } from "../query/QueryExecutor.ts"
import type { EventRecorderError } from "./EventRecorderError.ts"
import * as DirectRecorder from "./internal/directRecorder.ts"
import * as SpoolRecorder from "./internal/spoolRecorder.ts"

/**
 * How far an event must have come before its recording counts as done.
 *
 * - `accepted`: it is in the memory of this process, and on its way. Lost if the process is killed before that.
 * - `spooled`: it is in the spool. Survives a kill of the process; a power loss as well with `durability: "full"`.
 * - `committed`: it is in the database, or was set aside, which fails with `Poisoned`.
 *
 * @category models
 * @since 0.1.0
 */
export type Ack = "accepted" | "spooled" | "committed"

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
 * What a recorder records, and where it goes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Definition<in out Event> {
  /** Names the recorder in spools, spans, metrics and errors, for example `memory.events`. */
  readonly name: string
  /** Events wait in the spool as the JSON that this schema makes of them. */
  readonly event: Schema.Codec<Event, unknown>
  /**
   * What makes an event the same event when it is recorded again, 1 to 1,024 characters: made by whoever records it, once,
   * before the first attempt.
   */
  readonly id: (event: Event) => string
  /** Events with the same order key, such as a session's id, reach the database in the order they were recorded. */
  readonly order: (event: Event) => string
  /**
   * Stores a batch. It must leave an event whose id is stored already as it is (`ON CONFLICT DO NOTHING`): a batch comes
   * again when a process ends between its commit and the spool's.
   */
  readonly target: Mutation<ReadonlyArray<Event>, any>
}

/**
 * Options of one recording.
 *
 * @category models
 * @since 0.1.0
 */
export interface RecordOptions {
  /** `spooled` when absent. */
  readonly ack?: Ack | undefined
  /** How long the acknowledgement may take. `deadline` of the recorder when absent. */
  readonly timeout?: Duration.Input | undefined
}

/**
 * What a flush did.
 *
 * @category models
 * @since 0.1.0
 */
export interface Flushed {
  /** Events that left the spool for the database while it lasted. */
  readonly delivered: number
  /** Events that were set aside while it lasted. */
  readonly deadLetters: number
  /** Events that are still in the spool. */
  readonly left: number
}

/**
 * The state of a recorder. The numbers of a spool are those of all processes together, since the file was made.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  /** Events in the memory of this process. */
  readonly waiting: number
  /** Events in the spool. */
  readonly spooled: number
  /** Bytes in use of the spool's file; 0 without one. */
  readonly bytes: number
  /** When the oldest event in the spool was recorded. */
  readonly oldest: DateTime.Utc | undefined
  /** Events that were set aside and are still there. */
  readonly deadLetters: number
  readonly delivered: number
  /** Events for which there was no room, and those in memory that a shutdown had no time for. */
  readonly dropped: number
  /** Events that were ever set aside because the database refused them or they no longer fitted their schema. */
  readonly poisoned: number
  /** Rows of the spool that were ever found damaged. */
  readonly damaged: number
  /** What kept this process's last attempt from delivering, for example `ConnectionError`. */
  readonly lastFailure: string | undefined
}

/**
 * An event that was set aside.
 *
 * @category models
 * @since 0.1.0
 */
export interface DeadLetter {
  readonly id: string
  readonly order: string
  readonly recordedAt: DateTime.Utc
  readonly diedAt: DateTime.Utc
  /** Refused by the database, damaged in the spool, or no longer of its schema. */
  readonly kind: "poisoned" | "damaged" | "unreadable"
  /** The kind of refusal and the database's code; never a part of the event. */
  readonly reason: string
  /** The event as JSON, as it was spooled. */
  readonly payload: string
}

/**
 * Events that were set aside. They count toward the bounds of the spool until they are retried or dropped.
 *
 * @category models
 * @since 0.1.0
 */
export interface DeadLetters {
  /** Oldest first, up to `limit`; 100 when absent. */
  readonly list: (limit?: number) => Effect.Effect<ReadonlyArray<DeadLetter>, EventRecorderError>
  /** Puts those with these ids, or all, back in line, after what is in it; damaged ones stay. Gives how many. */
  readonly retry: (ids?: ReadonlyArray<string>) => Effect.Effect<number, EventRecorderError>
  /** Removes those with these ids, or all, for good. Gives how many. */
  readonly drop: (ids?: ReadonlyArray<string>) => Effect.Effect<number, EventRecorderError>
}

/**
 * A recorder of events.
 *
 * @category models
 * @since 0.1.0
 */
export interface EventRecorder<in Event> {
  /** Records an event. A caller that is interrupted may find it recorded or not; to record it again changes nothing. */
  readonly record: (event: Event, options?: RecordOptions) => Effect.Effect<void, EventRecorderError>
  /**
   * Records events in order. Where one does not fit its schema none is recorded; where it fails later, some may be, and
   * recording all again changes nothing.
   */
  readonly recordAll: (events: ReadonlyArray<Event>, options?: RecordOptions) => Effect.Effect<void, EventRecorderError>
  /**
   * Brings what was recorded before into the database now. Fails with `TargetUnavailable` where the database takes
   * nothing, and with `DeadlineExceeded` where it takes longer than `within`, the recorder's `deadline` when absent.
   */
  readonly flush: (options?: {
    readonly timeout?: Duration.Input | undefined
  }) => Effect.Effect<Flushed, EventRecorderError>
  readonly stats: Effect.Effect<Stats, EventRecorderError>
  readonly deadLetters: DeadLetters
}

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

/**
 * The class that `Service` makes.
 *
 * @category models
 * @since 0.1.0
 */
export interface RecorderClass<in out Self, in out Id extends string, in out Event> extends Context.ServiceClass<
  Self,
  Id,
  EventRecorder<Event>
> {
  readonly definition: Definition<Event>
}

/**
 * Makes the service of a recorder.
 *
 * **Example**
 *
 * ```ts
 * import * as EventRecorder from "athena-hooks/events/EventRecorder"
 * import * as Dependency from "athena-hooks/query/Dependency"
 * import * as Mutation from "athena-hooks/query/Mutation"
 * import * as Arr from "effect/Array"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 * import * as SqlClient from "effect/sql/SqlClient"
 *
 * const Click = Schema.Struct({ id: Schema.String, visit: Schema.String, target: Schema.String })
 * type Click = typeof Click.Type
 *
 * const store = Mutation.make({
 *   name: "clicks.store",
 *   input: Schema.Array(Click),
 *   changes: () => [Dependency.make("clicks")],
 *   run: Effect.fnUntraced(function* (clicks) {
 *     const sql = yield* SqlClient.SqlClient
 *     if (!Arr.isReadonlyArrayNonEmpty(clicks)) return
 *     yield* sql`INSERT INTO clicks ${sql.insert(clicks)} ON CONFLICT (id) DO NOTHING`
 *   })
 * })
 *
 * class Clicks extends EventRecorder.Service<Clicks, Click>()("app/Clicks", {
 *   name: "clicks",
 *   event: Click,
 *   id: (click) => click.id,
 *   order: (click) => click.visit,
 *   target: store
 * }) {}
 *
 * const program = Clicks.use((clicks) => clicks.record({ id: "c-1", visit: "v-1", target: "buy" }))
 * const ClicksLive = EventRecorder.layer(Clicks, { filename: "clicks.spool" })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const Service =
  <Self, Event>() =>
  <const Id extends string>(id: Id, definition: Definition<Event>): RecorderClass<Self, Id, Event> =>
    Object.assign(Context.Service<Self, EventRecorder<Event>>()(id), { definition })

/**
 * Constructs a recorder with a spool, which it flushes into the `QueryExecutor` of the context.
 *
 * The spool is opened by the first recording. When the scope closes, what is in memory is written and what is in the
 * spool delivered, within `shutdownTimeout`; what is left stays in the spool. Fails with `InvalidOption` alone.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <Event>(
  definition: Definition<Event>,
  options: SpoolOptions
): Effect.Effect<EventRecorder<Event>, EventRecorderError, Scope.Scope | QueryExecutor> =>
  Effect.flatMap(QueryExecutor, (executor) => SpoolRecorder.make(definition, options, executor))

/**
 * Provides a recorder with a spool, which it flushes into the `QueryExecutor` of the context.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <Self, Id extends string, Event>(
  service: RecorderClass<Self, Id, Event>,
  options: SpoolOptions
): Layer.Layer<Self, EventRecorderError, QueryExecutor> => Layer.effect(service, make(service.definition, options))

/**
 * Provides a recorder that writes into the spool and leaves it to other processes to flush it: for a process that has no
 * database, or no time for one. `committed` and `flush` wait until another process has done so.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerSpool = <Self, Id extends string, Event>(
  service: RecorderClass<Self, Id, Event>,
  options: SpoolOptions
): Layer.Layer<Self, EventRecorderError> =>
  Layer.effect(service, SpoolRecorder.make(service.definition, options, undefined))

/**
 * Provides a recorder without a spool, for a database that is a file on this host: to be in it is to be safe, so an event
 * is written once. `spooled` and `committed` are the same here, and each as durable as a commit of the database. Callers
 * share transactions; an event that the database refuses fails its own caller with `Poisoned` and nobody else.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerDirect = <Self, Id extends string, Event>(
  service: RecorderClass<Self, Id, Event>,
  options: DirectOptions = {}
): Layer.Layer<Self, EventRecorderError, QueryExecutor> =>
  Layer.effect(
    service,
    Effect.flatMap(QueryExecutor, (executor) => DirectRecorder.make(service.definition, options, executor))
  )

const noStats: Stats = {
  waiting: 0,
  spooled: 0,
  bytes: 0,
  oldest: undefined,
  deadLetters: 0,
  delivered: 0,
  dropped: 0,
  poisoned: 0,
  damaged: 0,
  lastFailure: undefined
}

/**
 * Provides a fake that hands each event to a function and needs no file and no database.
 *
 * **Example**
 *
 * ```ts
 * import * as EventRecorder from "athena-hooks/events/EventRecorder"
 * import * as MemoryRecorder from "athena-hooks/memory/MemoryRecorder"
 *
 * const seen: Array<MemoryRecorder.SpooledEvent> = []
 * const fake = EventRecorder.layerTest(MemoryRecorder.MemoryRecorder, (event) => seen.push(event))
 * ```
 *
 * @category testing
 * @since 0.1.0
 */
export const layerTest = <Self, Id extends string, Event>(
  service: RecorderClass<Self, Id, Event>,
  onEvent: (event: Event) => unknown
): Layer.Layer<Self> =>
  Layer.sync(service, () => {
    let recorded = 0
    const record = (event: Event) =>
      Effect.sync(() => {
        recorded++
        onEvent(event)
      })
    return {
      record,
      recordAll: (events) => Effect.forEach(events, record, { discard: true }),
      flush: () => Effect.succeed({ delivered: 0, deadLetters: 0, left: 0 }),
      stats: Effect.sync(() => ({ ...noStats, delivered: recorded })),
      deadLetters: { list: () => Effect.succeed([]), retry: () => Effect.succeed(0), drop: () => Effect.succeed(0) }
    }
  })
