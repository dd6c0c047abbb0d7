/**
 * `athena cache`: the shared cache in front of a Postgres server.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Command from "effect/cli/Command"
import { megabytes } from "../../internal/text.ts"
import * as QueryCache from "../../cache/QueryCache.ts"
import * as MemoryBridge from "../../memory/MemoryBridge.ts"
import * as Database from "../../sql/Database.ts"
import * as Memory from "../../host/Memory.ts"
import * as Output from "../output.ts"
import * as HostCache from "../../host/sharedCache.ts"

const none = "no cache is used: set ATHENA_CACHE=true where the memory is on a Postgres server that is far away"

/** Provides the cache, or prints that the cache is disabled. */
const withCache = <A, E, R>(json: boolean, use: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const settings = yield* Database.settings
    const file = yield* HostCache.file(settings)
    if (settings._tag === "Embedded" || file === undefined) return yield* Output.print(json, { used: false }, [none])
    const memory = MemoryBridge.layer.pipe(
      Layer.provideMerge(HostCache.middleware(settings, file)),
      Layer.provide(Memory.database(settings))
    )
    return yield* Effect.provide(use, memory)
  })

const stats = Command.make(
  "stats",
  { json: Output.json },
  Effect.fnUntraced(function* ({ json }) {
    yield* withCache(
      json,
      Effect.gen(function* () {
        const { store } = yield* (yield* QueryCache.QueryCache).stats
        yield* Output.print(
          json,
          { used: true, store: store ?? null },
          store === undefined
            ? ["the file of the cache could not be read; it is made anew when it is damaged"]
            : [
                `results            ${store.entries}, ${megabytes(store.bytes)}`,
                `changed things     ${store.versions}`,
                `writes under way   ${store.announcements}`
              ]
        )
      })
    )
  })
).pipe(Command.withDescription("Show how full the cache is"))

const clear = Command.make(
  "clear",
  { json: Output.json },
  Effect.fnUntraced(function* ({ json }) {
    yield* withCache(
      json,
      Effect.gen(function* () {
        yield* (yield* QueryCache.QueryCache).clear
        yield* Output.print(json, { used: true, cleared: true }, ["the cache is empty"])
      })
    )
  })
).pipe(Command.withDescription("Remove everything from the cache, for all processes"))

const warm = Command.make(
  "warm",
  { json: Output.json },
  Effect.fnUntraced(function* ({ json }) {
    yield* withCache(
      json,
      Effect.gen(function* () {
        const memory = yield* MemoryBridge.MemoryBridge
        const project = yield* Memory.currentProject
        yield* Effect.all(
          [
            memory.getActiveMemories(project.id, { worktreePath: project.worktreePath }),
            memory.getActiveGoals(project.id)
          ],
          { concurrency: "unbounded", discard: true }
        )
        yield* Output.print(json, { used: true, project: project.name }, [
          `what the next session of ${project.name} begins with is in the cache`
        ])
      })
    )
  })
).pipe(Command.withDescription("Load what the next session in the current project begins with"))

export const cache = Command.make("cache").pipe(
  Command.withDescription("Look into the cache before a Postgres server, clear it or warm it"),
  Command.withSubcommands([stats, clear, warm])
)
