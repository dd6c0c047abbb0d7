/**
 * Publishes announcements and changes to the store: immediately, or in the background while the store is unavailable.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { randomId } from "../../internal/randomId.ts"
import * as CacheClock from "./cacheClock.ts"
import type { InvalidationTracker } from "./invalidationTracker.ts"
import type { Settings } from "./settings.ts"
import type { StoreBreaker } from "./storeBreaker.ts"
import type { CacheStoreShape, Outcome } from "./storeModel.ts"

/** The maximum number of pending keys; beyond it everything is pending. */
export const maxKeys = 10_000

/** The pending invalidations at a time. */
export interface PendingKeys {
  readonly keys: "none" | "all" | ReadonlyArray<string>
  readonly at: number
}

/** The changed keys that the store has not received. They count as announced in this process. */
export interface PendingInvalidations {
  readonly add: (changed: ReadonlyArray<string>) => void
  readonly addAll: () => void
  readonly pending: () => PendingKeys
  /** Removes published keys that have not been added again since. */
  readonly published: (pending: PendingKeys) => void
  readonly size: () => number
}

export const makePending = (tracker: InvalidationTracker): PendingInvalidations => {
  /** Each pending key and the time of its last change. */
  const keys = new Map<string, number>()
  let allAt: number | undefined
  let time = 0

  const addAll = (): void => {
    if (allAt === undefined) {
      tracker.suspend()
      tracker.end([...keys.keys()])
      keys.clear()
    }
    allAt = ++time
  }

  return {
    add: (changed) => {
      const added = [...new Set(changed)].filter((key) => !keys.has(key))
      if (allAt !== undefined || keys.size + added.length >= maxKeys) return addAll()
      tracker.announce(added)
      time++
      for (const key of changed) keys.set(key, time)
    },
    addAll,
    pending: () => ({ keys: allAt !== undefined ? "all" : keys.size === 0 ? "none" : [...keys.keys()], at: time }),
    published: (pending) => {
      if (pending.keys === "all") {
        if (allAt === undefined || allAt > pending.at) return
        allAt = undefined
        tracker.resume()
      } else if (pending.keys !== "none") {
        const published = pending.keys.filter((key) => (keys.get(key) ?? Infinity) <= pending.at)
        for (const key of published) keys.delete(key)
        tracker.end(published)
      }
    },
    size: () => (allAt === undefined ? keys.size : maxKeys)
  }
}

export interface InvalidationPublisher {
  readonly nextId: () => string
  /** Announces changes; `false` if the store has not accepted it. */
  readonly announce: (id: string, changed: ReadonlyArray<string>) => Effect.Effect<boolean>
  /** Ends an announcement; `false` if the store has not accepted it. */
  readonly resolve: (id: string, changed: ReadonlyArray<string>, outcome: Outcome) => Effect.Effect<boolean>
  /** Publishes a change in the background. Its keys count as announced until then. */
  readonly resolveLater: (id: string | undefined, changed: ReadonlyArray<string>) => void
  /** Ends the announcement of a rolled-back mutation in the background. */
  readonly retractLater: (id: string) => void
  readonly clear: Effect.Effect<void>
  readonly pendingInvalidations: () => number
}

/** The maximum number of announcements to end in the background; further ones lapse and count as changes. */
const maxEnded = 10_000

const closingAttempts = 5

/** In a detached fiber, so that the timeout holds in uninterruptible regions, and publishing works in a closing scope. */
const detached = (publish: Effect.Effect<Option.Option<unknown>>): Effect.Effect<boolean> =>
  publish.pipe(
    Effect.forkDetach({ startImmediately: true }),
    Effect.flatMap(Fiber.await),
    Effect.map((exit) => Exit.isSuccess(exit) && Option.isSome(exit.value))
  )

export const make = (options: {
  readonly store: CacheStoreShape
  readonly breaker: StoreBreaker
  readonly tracker: InvalidationTracker
  readonly settings: Settings
}): Effect.Effect<InvalidationPublisher, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { breaker, settings, store, tracker } = options
    const pending = makePending(tracker)
    const writer = randomId()
    /** Announcements to end in the store, whose changes are published by another id or were rolled back. */
    const ended = new Set<string>()
    const wake = yield* Queue.sliding<void>(1)
    let count = 0

    const nextId = (): string => `${writer}-${++count}`
    const leaseEnd = Effect.map(CacheClock.now, (now) => now + settings.announcementLeaseMs)

    const resolve: InvalidationPublisher["resolve"] = (id, changed, outcome) =>
      detached(
        Effect.flatMap(leaseEnd, (until) => breaker.attempt("resolve", store.resolve(id, changed, outcome, until)))
      )

    const clearStore = detached(Effect.suspend(() => breaker.attempt("clear", store.clear)))

    const publishChanges = Effect.suspend(() => {
      const current = pending.pending()
      if (current.keys === "none") return Effect.succeed(true)
      const publish = current.keys === "all" ? clearStore : resolve(nextId(), current.keys, "changed")
      return Effect.map(publish, (isPublished) => {
        if (isPublished) pending.published(current)
        return isPublished
      })
    })

    /** After the changes: until they are published, the announcements protect them. */
    const publishEnds = Effect.suspend(() =>
      Effect.forEach([...ended], (id) =>
        Effect.map(resolve(id, [], "rolledBack"), (isPublished) => {
          if (isPublished) ended.delete(id)
        })
      )
    )

    /** `true` when nothing is pending. */
    const publish = publishChanges.pipe(
      Effect.flatMap((isPublished) => (isPublished ? publishEnds : Effect.void)),
      Effect.andThen(Effect.sync(() => pending.pending().keys === "none" && ended.size === 0))
    )

    const endLater = (id: string): void => {
      if (ended.size < maxEnded) ended.add(id)
    }
    const publishLater = (): void => void Queue.offerUnsafe(wake, undefined)

    yield* Effect.addFinalizer(() =>
      CacheClock.boundedFinalizer(
        Math.max(settings.announceTimeoutMs, settings.storeTimeoutMs),
        Effect.repeat(publish, { until: (isDone) => isDone, times: closingAttempts - 1 })
      )
    )
    yield* Queue.take(wake).pipe(
      Effect.andThen(Effect.repeat(publish, { until: (isDone) => isDone, schedule: Schedule.spaced("200 millis") })),
      Effect.forever,
      Effect.forkScoped
    )

    return {
      nextId,
      announce: (id, changed) =>
        Effect.flatMap(leaseEnd, (until) =>
          Effect.map(breaker.attempt("announce", store.announce(id, changed, until)), Option.isSome)
        ),
      resolve,
      resolveLater: (id, changed) => {
        pending.add(changed)
        if (id !== undefined) endLater(id)
        publishLater()
      },
      retractLater: (id) => {
        endLater(id)
        publishLater()
      },
      clear: Effect.map(clearStore, (isPublished) => {
        if (isPublished) return
        pending.addAll()
        publishLater()
      }),
      pendingInvalidations: pending.size
    }
  })
