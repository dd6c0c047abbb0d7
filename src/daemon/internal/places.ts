/**
 * Where sessions belong: looked up once, at the first event of a session, for its agent may wander.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as Path from "effect/Path"
import * as Repository from "../../hooks/Repository.ts"

/** Sessions that are remembered; those begun first are forgotten first. */
const maxSessions = 1_000

export const make = (context: Context.Context<FileSystem.FileSystem | Path.Path>) => {
  const known = new Map<string, Repository.Repository>()

  const remember = (sessionId: string, place: Repository.Repository): void => {
    if (known.size >= maxSessions) known.delete(known.keys().next().value!)
    known.set(sessionId, place)
  }

  return {
    find: (sessionId: string, folder: string): Effect.Effect<Repository.Repository, Repository.FolderNotFound> =>
      Effect.suspend(() => {
        const place = known.get(sessionId)
        if (place !== undefined) return Effect.succeed(place)
        return Repository.find(folder).pipe(
          Effect.provide(context),
          Effect.tap((found) => Effect.sync(() => remember(sessionId, found)))
        )
      })
  }
}
