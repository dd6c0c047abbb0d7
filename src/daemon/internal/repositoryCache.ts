/**
 * Where sessions belong: looked up once, at the first event of a session, for its agent may wander.
 *
 * A folder on a disk that does not answer hangs whoever asks for it, and one of the few threads that the process has for
 * all its files. So few lookups run at once, and nobody waits for one for long: a folder that does not answer is a repository of
 * its own, until it does.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Semaphore from "effect/Semaphore"
import { monotonicMs } from "../../internal/clock.ts"
import * as Repository from "../../hooks/Repository.ts"

/** Sessions that are remembered; those begun first are forgotten first. */
const maxSessions = 1_000

/** Lookups at once: half of the threads. One that hangs counts until it ends, whoever has given it up. */
const maxLookups = 2

/** How long a lookup, and the wait for its turn, may take. */
const lookupTimeout = "2 seconds"

/** For how long a folder that did not answer is not asked again, in milliseconds. */
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

  /** Nothing interrupts an operation on files, so the permit is given back when it ends. */
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

  /** One folder hangs one lookup, however often it is asked for. */
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
