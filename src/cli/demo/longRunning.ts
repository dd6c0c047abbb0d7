/**
 * A long-running process: it reads through the cache and stores events of others, under the profiler.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as CacheStore from "../../cache/CacheStore.ts"
import * as QueryCache from "../../cache/QueryCache.ts"
import * as CachedMemory from "../../memory/CachedMemory.ts"
import { MemoryBridge } from "../../memory/MemoryBridge.ts"
import * as Project from "../../memory/Project.ts"
import * as Profiler from "../../profiler/Profiler.ts"
import * as ProfileText from "../../profiler/ProfileText.ts"
import * as Output from "../output.ts"
import * as Events from "./events.ts"

const rounds = 50

const reads = (path: string) =>
  Effect.gen(function* () {
    const memory = yield* MemoryBridge
    const project = yield* memory.ensureProject(Project.make({ path, name: "shop" }))
    for (let round = 0; round < rounds; round++) {
      yield* memory.getActiveMemories(project.id)
      yield* memory.getActiveGoals(project.id)
    }
    const { queries } = yield* (yield* QueryCache.QueryCache).stats
    const sum = (of: (stats: QueryCache.QueryStats) => number) =>
      Object.values(queries).reduce((total, stats) => total + of(stats), 0)
    yield* Output.text(
      `\nA long-running process reads memories and goals ${rounds} times: ${sum(({ loads }) => loads)} reads of the database, ` +
        `${sum(({ memoryHits }) => memoryHits)} from memory`
    )
  })

/** Returns whether all events arrived. */
export const demonstrate = <E, R>(
  folder: string,
  project: string,
  database: Layer.Layer<SqlClient.SqlClient, SqlError | E, R>
) =>
  Effect.gen(function* () {
    const memory = CachedMemory.layer().pipe(Layer.provide(CacheStore.layerMemory()), Layer.provide(database))
    const arrived = yield* Effect.withSpan(Events.demonstrate(`${folder}/events.spool`, project, database), "events")
    yield* Effect.gen(function* () {
      yield* Effect.withSpan(reads(project), "reads")
      yield* Output.text("\nThe profile of this process\n")
      const report = yield* (yield* Profiler.Profiler).report
      yield* Output.styled(ProfileText.format(report, { top: 12, colors: yield* Output.isColored }))
    }).pipe(Effect.provide(memory))
    return arrived
  }).pipe(Effect.provide(Profiler.layerTracer.pipe(Layer.provideMerge(Profiler.layer()))))
