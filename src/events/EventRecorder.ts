/**
 * Records events in batches and loses no event that it has acknowledged.
 *
 * **When to use**
 *
 * Use it for events that must survive an unavailable database, and whose producers cannot wait for it. `layer` for a
 * long-running process, `layerSpool` for a short one, and `layerDirect` if the database is a file on this host and
 * needs no spool.
 *
 * A producer chooses its acknowledgement: `accepted` (in memory), `spooled` (in a file on this host, which survives a
 * kill at any instruction) or `committed` (in the database). The relay of any running process delivers batches from the
 * spool, each by one `Mutation` in one transaction. After recovery, each event acknowledged at `spooled` or above is in
 * the database once, given a target that stores each id once. An unavailable, slow or restarting database costs time
 * and no events. An event that the database rejects becomes a dead letter, and the rest is delivered.
 *
 * **Gotchas**
 *
 * The promise covers kills and, with `durability: "full"`, power loss. It does not cover bit rot: damage loses the rows
 * of the damaged pages, which are counted.
 *
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Options from "../internal/options.ts"
import { QueryExecutor } from "../query/QueryExecutor.ts"
import * as DirectRecorder from "./internal/directRecorder.ts"
import type { Definition, EventRecorder } from "./internal/recorder.ts"
import * as RecorderOptions from "./internal/options.ts"
import * as SpoolRecorder from "./internal/spoolRecorder.ts"

export type { DirectOptions, Policy, SpoolOptions } from "./internal/options.ts"
export type {
  Ack,
  DeadLetter,
  DeadLetters,
  Definition,
  EventRecorder,
  Flushed,
  RecordOptions,
  Stats
} from "./internal/recorder.ts"

/**
 * The service class of a recorder, as `Service` constructs it.
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
 * Constructs the service class of a recorder.
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
 * Constructs a recorder with a spool and a relay that delivers to the `QueryExecutor` of the context.
 *
 * The first recording opens the spool. When the scope closes, the recorder writes the events in memory and delivers the
 * spool within `shutdownTimeout`; undelivered events stay in the spool. An invalid option is a defect, a `RangeError`
 * that names it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <Event>(
  definition: Definition<Event>,
  options: RecorderOptions.SpoolOptions
): Effect.Effect<EventRecorder<Event>, never, Scope.Scope | QueryExecutor> =>
  Effect.suspend(() => makeSpool(definition, RecorderOptions.spool(options)))

const makeSpool = <Event>(definition: Definition<Event>, settings: RecorderOptions.SpoolSettings) =>
  Effect.flatMap(QueryExecutor, (executor) => SpoolRecorder.make(definition, settings, executor))

/**
 * Provides a recorder with a spool and a relay that delivers to the `QueryExecutor` of the context.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <Self, Id extends string, Event>(
  service: RecorderClass<Self, Id, Event>,
  options: RecorderOptions.SpoolOptions
): Layer.Layer<Self, never, QueryExecutor> => Layer.effect(service, make(service.definition, options))

/**
 * Provides a recorder with a spool, with its options read from `Config`. An invalid one is a `ConfigError` that names it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = <Self, Id extends string, Event>(
  service: RecorderClass<Self, Id, Event>,
  config: Config.Wrap<RecorderOptions.SpoolOptions>
): Layer.Layer<Self, Config.ConfigError, QueryExecutor> =>
  Layer.effect(
    service,
    Effect.flatMap(Options.fromConfig(config, RecorderOptions.spool), (settings) =>
      makeSpool(service.definition, settings)
    )
  )

/**
 * Provides a recorder that writes into the spool and leaves delivery to other processes: for a process without a
 * database, or without time for one. `committed` and `flush` wait for the delivery by another process.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerSpool = <Self, Id extends string, Event>(
  service: RecorderClass<Self, Id, Event>,
  options: RecorderOptions.SpoolOptions
): Layer.Layer<Self> =>
  Layer.effect(
    service,
    Effect.suspend(() => SpoolRecorder.make(service.definition, RecorderOptions.spool(options), undefined))
  )

/**
 * Provides a recorder without a spool, for a database that is a file on this host: each event is written once.
 * `spooled` and `committed` are the same, and as durable as a commit of the database. Callers share transactions; an
 * event that the database rejects fails only its own caller with `EventRejected`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerDirect = <Self, Id extends string, Event>(
  service: RecorderClass<Self, Id, Event>,
  options: RecorderOptions.DirectOptions = {}
): Layer.Layer<Self, never, QueryExecutor> =>
  Layer.effect(
    service,
    Effect.flatMap(QueryExecutor, (executor) =>
      DirectRecorder.make(service.definition, RecorderOptions.direct(options), executor)
    )
  )

/**
 * Provides a fake that passes each event to a function, without a file and a database.
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
      stats: Effect.sync(() => ({ ...DirectRecorder.emptyStats, delivered: recorded })),
      deadLetters: DirectRecorder.noDeadLetters
    }
  })
