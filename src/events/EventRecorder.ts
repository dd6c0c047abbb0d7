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
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { QueryExecutor } from "../query/QueryExecutor.ts"
import * as DirectRecorder from "./internal/directRecorder.ts"
import type { Definition, EventRecorder, Stats } from "./internal/recorder.ts"
import * as Options from "./internal/options.ts"
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
  options: Options.SpoolOptions
): Effect.Effect<EventRecorder<Event>, never, Scope.Scope | QueryExecutor> =>
  Effect.flatMap(QueryExecutor, (executor) => SpoolRecorder.make(definition, options, executor))

/**
 * Provides a recorder with a spool, which it flushes into the `QueryExecutor` of the context.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <Self, Id extends string, Event>(
  service: RecorderClass<Self, Id, Event>,
  options: Options.SpoolOptions
): Layer.Layer<Self, never, QueryExecutor> => Layer.effect(service, make(service.definition, options))

/**
 * Provides a recorder with a spool, with its options read from `Config`. An invalid one is a `ConfigError` that names it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = <Self, Id extends string, Event>(
  service: RecorderClass<Self, Id, Event>,
  config: Config.Wrap<Options.SpoolOptions>
): Layer.Layer<Self, Config.ConfigError, QueryExecutor> =>
  Layer.unwrap(Effect.map(Options.fromConfig(config, Options.spool), (options) => layer(service, options)))

/**
 * Provides a recorder that writes into the spool and leaves it to other processes to flush it: for a process that has no
 * database, or no time for one. `committed` and `flush` wait until another process has done so.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerSpool = <Self, Id extends string, Event>(
  service: RecorderClass<Self, Id, Event>,
  options: Options.SpoolOptions
): Layer.Layer<Self> =>
  Layer.effect(service, SpoolRecorder.make(service.definition, options, undefined))

/**
 * Provides a recorder without a spool, for a database that is a file on this host: to be in it is to be safe, so an event
 * is written once. `spooled` and `committed` are the same here, and each as durable as a commit of the database. Callers
 * share transactions; an event that the database refuses fails its own caller with `EventRejected` and nobody else.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerDirect = <Self, Id extends string, Event>(
  service: RecorderClass<Self, Id, Event>,
  options: Options.DirectOptions = {}
): Layer.Layer<Self, never, QueryExecutor> =>
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
  rejected: 0,
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
