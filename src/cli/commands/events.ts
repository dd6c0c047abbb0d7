/**
 * `athena events`: the events in the spools of this host, and the dead letters.
 */
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import type { DeadLetter, Stats } from "../../events/EventRecorder.ts"
import { plural } from "../../internal/text.ts"
import { MemoryRecorder } from "../../memory/MemoryRecorder.ts"
import * as EventSpool from "../../host/eventSpool.ts"
import * as Spools from "../../host/spools.ts"
import * as Memory from "../../host/Memory.ts"
import * as Output from "../output.ts"

const statsLines = (stats: Stats, now: number): ReadonlyArray<string> => {
  const age = stats.oldest === undefined ? undefined : Duration.millis(now - DateTime.toEpochMillis(stats.oldest))
  return [
    `waiting    ${plural("event", stats.spooled)}${age === undefined ? "" : `, the oldest for ${Duration.format(age)}`}`,
    `delivered  ${plural("event", stats.delivered)}`,
    `dropped    ${plural("event", stats.dropped)}${stats.dropped === 0 ? "" : ": the spool was full"}`,
    `dead       ${plural("event", stats.deadLetters)}${stats.deadLetters === 0 ? "" : ": athena events dead"}`,
    `damaged    ${plural("event", stats.damaged)}`
  ]
}

const stats = Command.make(
  "stats",
  { json: Output.json },
  Effect.fnUntraced(function* ({ json }) {
    const stats = yield* MemoryRecorder.use((recorder) => recorder.stats)
    const oldest = stats.oldest === undefined ? undefined : DateTime.formatIso(stats.oldest)
    yield* Output.print(json, { ...stats, oldest }, statsLines(stats, yield* Clock.currentTimeMillis))
  })
).pipe(Command.withDescription("Show how many events wait, were delivered or dropped, and the number of dead letters"))

/** The home has no spool of that name. */
class UnknownSpool extends Data.TaggedError("UnknownSpool")<{ readonly name: string }> {
  override get message(): string {
    return `there is no spool ${this.name}; athena status lists the spools that hold events`
  }
}

/** Selects the named spool, or the spool of the configured database. Both deliver to the configured database. */
const draining = (name: string) =>
  Effect.gen(function* () {
    if (name === "") return EventSpool.layerFlush()
    const filename = yield* Spools.filenameOf(name)
    if (Option.isNone(filename)) return yield* new UnknownSpool({ name })
    return EventSpool.layerFlushFrom(filename.value)
  })

const flush = Command.make(
  "flush",
  {
    within: Flag.Int("within").pipe(Flag.withDescription("Timeout in seconds"), Flag.withDefault(60)),
    spool: Flag.String("spool").pipe(
      Flag.withDescription("Spool name from athena status; the spool of the configured database when absent"),
      Flag.withDefault("")
    ),
    json: Output.json
  },
  Effect.fnUntraced(function* ({ json, spool, within }) {
    const flushed = yield* MemoryRecorder.use((recorder) => recorder.flush({ timeout: Duration.seconds(within) })).pipe(
      Effect.provide(Layer.unwrap(draining(spool)).pipe(Layer.provide(Memory.executor)))
    )
    yield* Output.print(json, flushed, [
      `delivered ${plural("event", flushed.delivered)}, set aside ${plural("event", flushed.deadLetters)}, ${plural("event", flushed.left)} left`
    ])
  })
).pipe(Command.withDescription("Deliver waiting events to the database now"))

const deadLine = (event: DeadLetter): string =>
  `${event.id}  ${DateTime.formatIso(event.diedAt)}  ${event.kind}: ${event.reason}`

const listing = {
  limit: Flag.Int("limit").pipe(Flag.withDescription("Maximum number"), Flag.withDefault(100)),
  json: Output.json.pipe(Flag.withDescription("Print JSON including the events"))
}

const showDead = Effect.fnUntraced(function* ({ json, limit }: { readonly json: boolean; readonly limit: number }) {
  const dead = yield* MemoryRecorder.use((recorder) => recorder.deadLetters.list(limit))
  const printable = dead.map((event) => ({
    ...event,
    recordedAt: DateTime.formatIso(event.recordedAt),
    diedAt: DateTime.formatIso(event.diedAt)
  }))
  yield* Output.print(json, printable, dead.length === 0 ? ["no dead letters"] : dead.map(deadLine))
})

const list = Command.make("list", listing, showDead).pipe(Command.withDescription("List the dead letters"))

const ids = Argument.String("id").pipe(
  Argument.withDescription("Ids of the events; all when absent"),
  Argument.atLeast(0)
)

const retry = Command.make(
  "retry",
  { ids, json: Output.json },
  Effect.fnUntraced(function* ({ ids, json }) {
    const retried = yield* MemoryRecorder.use((recorder) =>
      recorder.deadLetters.retry(ids.length === 0 ? undefined : ids)
    )
    yield* Output.print(json, { retried }, [
      `${plural("event", retried)} queued again; to deliver now: athena events flush`
    ])
  })
).pipe(Command.withDescription("Queue dead letters for delivery again"))

const drop = Command.make(
  "drop",
  {
    ids: ids.pipe(Argument.withDescription("Ids of the events")),
    all: Flag.Boolean("all").pipe(Flag.withDescription("All dead letters"), Flag.withDefault(false)),
    json: Output.json
  },
  Effect.fnUntraced(function* ({ all, ids, json }) {
    const dropped = yield* MemoryRecorder.use((recorder) => recorder.deadLetters.drop(all ? undefined : ids))
    yield* Output.print(json, { dropped }, [`${plural("event", dropped)} deleted`])
  })
).pipe(Command.withDescription("Delete dead letters, by id or --all"))

const dead = Command.make("dead", listing, showDead).pipe(
  Command.withDescription("List, retry or delete dead letters: events that the database rejected"),
  Command.withSubcommands([list, retry, drop])
)

export const events = Command.make("events").pipe(
  Command.withDescription("Show and deliver events that wait for the database"),
  Command.withSubcommands([stats, flush, dead]),
  Command.provide(EventSpool.layer())
)
