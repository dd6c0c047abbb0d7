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

const none = "the cache is disabled; to enable it for a remote Postgres server: ATHENA_CACHE=true"

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
            ? ["the cache file can't be read; a damaged file is replaced automatically"]
            : [
                `results            ${store.entries}, ${megabytes(store.bytes)}`,
                `dependencies       ${store.versions}`,
                `pending writes     ${store.announcements}`
              ]
        )
      })
    )
  })
).pipe(Command.withDescription("Show the size of the cache"))

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
).pipe(Command.withDescription("Clear the cache for all processes"))

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
          `the context of the next session of ${project.name} is in the cache`
        ])
      })
    )
  })
).pipe(Command.withDescription("Load the context of the next session in the current project"))

export const cache = Command.make("cache").pipe(
  Command.withDescription("Show, clear or warm the cache of a Postgres server"),
  Command.withSubcommands([stats, clear, warm])
)
