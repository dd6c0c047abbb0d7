/**
 * The repository of each session, resolved at its first event, because the agent may change its folder.
 *
 * A folder on an unresponsive disk blocks its lookup and one of the few threads for file operations. Few lookups run
 * concurrently, and each has a timeout: until the folder responds, it counts as a project of its own.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Semaphore from "effect/Semaphore"
import { monotonicMs } from "../../internal/clock.ts"
import * as Repository from "../../hooks/Repository.ts"

/** The oldest sessions are evicted first. */
const maxSessions = 1_000

/** Half of the threads. A blocked lookup counts until it ends, even after its timeout. */
const maxLookups = 2

/** Timeout of a lookup, including the wait for a permit. */
const lookupTimeout = "2 seconds"

/** How long an unresponsive folder is not looked up again, in milliseconds. */
const retryAfter = 60_000

interface Known {
  readonly repository: Repository.Repository
  readonly until: number
}

type Lookup = Fiber.Fiber<Repository.Repository, Repository.FolderNotFound>

export const make = (context: Context.Context<FileSystem.FileSystem | Path.Path>) => {
  const known = new Map<string, Known>()
  const permits = Semaphore.makeUnsafe(maxLookups)
  const running = new Map<string, Lookup>()

  const remember = (sessionId: string, one: Known): void => {
    known.delete(sessionId)
    if (known.size >= maxSessions) known.delete(known.keys().next().value!)
    known.set(sessionId, one)
  }

  /** A file operation can't be interrupted, so the permit is released when it ends. */
  const start = (folder: string): Effect.Effect<Lookup> =>
    Repository.find(folder).pipe(
      Effect.provide(context),
      Effect.ensuring(permits.release(1)),
      Effect.forkDetach({ uninterruptible: true }),
      Effect.tap((lookup) =>
        Effect.sync(() => {
          running.set(folder, lookup)
          lookup.addObserver(() => running.delete(folder))
        })
      )
    )

  /** Concurrent lookups of one folder share one fiber. */
  const lookUp = (folder: string) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.suspend(() => {
        const before = running.get(folder)
        return before === undefined ? Effect.andThen(restore(permits.take(1)), start(folder)) : Effect.succeed(before)
      }).pipe(Effect.flatMap((lookup) => restore(Fiber.join(lookup))))
    )

  const fallback = (folder: string) =>
    Effect.gen(function* () {
      const repository = yield* Effect.provide(Repository.fromPath(folder), context)
      return { repository, until: (yield* monotonicMs) + retryAfter }
    })

  return {
    find: (sessionId: string, folder: string): Effect.Effect<Repository.Repository, Repository.FolderNotFound> =>
      Effect.gen(function* () {
        const before = known.get(sessionId)
        if (before !== undefined && before.until > (yield* monotonicMs)) return before.repository
        const found = yield* lookUp(folder).pipe(
          Effect.map((repository) => ({ repository, until: Number.POSITIVE_INFINITY })),
          Effect.timeoutOrElse({ duration: lookupTimeout, orElse: () => fallback(folder) })
        )
        remember(sessionId, found)
        return found.repository
      })
  }
}
