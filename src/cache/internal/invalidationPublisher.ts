/**
 * Tells the store what this process has changed, now or, where that fails or nobody should wait for it, behind.
 */
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { CacheStoreShape } from "../CacheStore.ts"
import * as Debt from "./pendingInvalidations.ts"
import type { InvalidationTracker } from "./invalidationTracker.ts"
import type { StoreBreaker } from "./storeBreaker.ts"
import * as LastWait from "./boundedFinalizer.ts"
import type { Settings } from "./settings.ts"
import * as Time from "./time.ts"

export type Outcome = "changed" | "rolledBack"

export interface InvalidationPublisher {
  /** A name for an announcement that no other one has. */
  readonly nextId: () => string
  /** Announces what is being written; `false` where the store did not hear of it. */
  readonly announce: (id: string, changed: ReadonlyArray<string>) => Effect.Effect<boolean>
  /** Ends an announcement; `false` where the store did not hear of it. */
  readonly resolve: (id: string, changed: ReadonlyArray<string>, outcome: Outcome) => Effect.Effect<boolean>
  /** Has the store told of a change behind. It counts as being written until then. */
  readonly resolveBehind: (id: string | undefined, changed: ReadonlyArray<string>) => void
  /** Has an announcement ended behind that has come to nothing. */
  readonly retractBehind: (id: string) => void
  readonly clear: Effect.Effect<void>
  /** How many changed things the store has not been told of. */
  readonly pendingInvalidations: () => number
}

/** So many announcements are ended behind; the rest lapse, and count as changes then. */
const maxEnded = 10_000

/** How often a scope that closes tells the store what it owes it. */
const lastTries = 5

/**
 * In a fiber of its own, so that its limit holds where the caller can't be interrupted; one that is nobody's, so that it
 * is still told when the scope closes.
 */
const inTime = (tell: Effect.Effect<Option.Option<unknown>>): Effect.Effect<boolean> =>
  tell.pipe(
    Effect.forkDetach({ startImmediately: true }),
    Effect.flatMap(Fiber.await),
    Effect.map((exit) => Exit.isSuccess(exit) && Option.isSome(exit.value))
  )

export const make = (options: {
  readonly store: CacheStoreShape
  readonly guard: StoreBreaker
  readonly fences: InvalidationTracker
  readonly settings: Settings
}): Effect.Effect<InvalidationPublisher, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { fences, guard, settings, store } = options
    const leaseMs = Duration.toMillis(settings.lease)
    const debt = Debt.make(fences)
    const writer = Buffer.from(SecureRandom.randomBytesUnsafe(12)).toString("base64url")
    /** Announcements whose end the store has not been told of, though it is told of their changes otherwise. */
    const ended = new Set<string>()
    const due = yield* Queue.sliding<void>(1)
    let count = 0

    const nextId = (): string => `${writer}-${++count}`
    const until = Effect.map(Time.now, (now) => now + leaseMs)

    const resolve: InvalidationPublisher["resolve"] = (id, changed, outcome) =>
      inTime(Effect.flatMap(until, (until) => guard.insist("resolve", store.resolve(id, changed, outcome, until))))

    const clearStore = inTime(Effect.suspend(() => guard.insist("clear", store.clear)))

    const endAnnouncement = (id: string): void => {
      if (ended.size < maxEnded) ended.add(id)
    }

    const payChanges = Effect.suspend(() => {
      const owed = debt.pending()
      if (owed.what === "nothing") return Effect.succeed(true)
      const tell = owed.what === "everything" ? clearStore : resolve(nextId(), owed.what, "changed")
      return Effect.map(tell, (told) => {
        if (told) debt.published(owed)
        return told
      })
    })

    /** Only once the store knows of the changes: until then the announcements stand for them. */
    const payEnds = Effect.suspend(() =>
      Effect.forEach([...ended], (id) =>
        Effect.map(resolve(id, [], "rolledBack"), (told) => {
          if (told) ended.delete(id)
          return told
        })
      )
    )

    const isPaid = Effect.sync(() => debt.pending().what === "nothing" && ended.size === 0)

    const pay = payChanges.pipe(
      Effect.flatMap((told) => (told ? payEnds : Effect.void)),
      Effect.andThen(isPaid)
    )

    const payBehind = (): void => void Queue.offerUnsafe(due, undefined)

    yield* Effect.addFinalizer(() =>
      LastWait.boundedFinalizer(
        Duration.max(settings.announceTimeout, settings.storeTimeout),
        Effect.repeat(pay, { until: (paid) => paid, times: lastTries - 1 })
      )
    )
    yield* Queue.take(due).pipe(
      Effect.andThen(Effect.repeat(pay, { until: (paid) => paid, schedule: Schedule.spaced("200 millis") })),
      Effect.forever,
      Effect.forkScoped
    )

    return {
      nextId,
      announce: (id, changed) =>
        Effect.flatMap(until, (until) =>
          Effect.map(guard.insist("announce", store.announce(id, changed, until)), Option.isSome)
        ),
      resolve,
      resolveBehind: (id, changed) => {
        debt.add(changed)
        if (id !== undefined) endAnnouncement(id)
        payBehind()
      },
      retractBehind: (id) => {
        endAnnouncement(id)
        payBehind()
      },
      clear: Effect.map(clearStore, (told) => {
        if (told) return
        debt.addAll()
        payBehind()
      }),
      pendingInvalidations: debt.size
    }
  })
