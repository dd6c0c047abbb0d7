/**
 * The mutations that are under way: announced before they can commit, and ended once it is known how they did.
 */
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import type { Mutation } from "../../query/Mutation.ts"
import type { QueryError } from "../../query/Query.ts"
import type { QueryExecutor } from "../../query/QueryExecutor.ts"
import type { CacheStoreShape } from "../CacheStore.ts"
import type { ChangeFeed } from "../ChangeFeed.ts"
import * as Debt from "./debt.ts"
import type { Fences } from "./fences.ts"
import type { Guard } from "./guard.ts"
import * as LastWait from "./lastWait.ts"
import type { Settings } from "./settings.ts"
import * as Transaction from "./transaction.ts"
import type { Watch } from "./watch.ts"

type Outcome = "changed" | "rolledBack"

interface Write {
  readonly id: string
  readonly changed: ReadonlyArray<string>
  ended: boolean
  /** Whether the end of the transaction will be told. */
  enlisted: boolean
  /** How the program of the mutation ended, where it ran. */
  ran: Exit.Exit<unknown, unknown> | undefined
  /** The transaction that the mutation is a part of, where the caller opened one around it. */
  outer: Transaction.Outer | undefined
}

export interface Writes {
  readonly mutate: <I, A>(
    executor: QueryExecutor["Service"],
    mutation: Mutation<I, A>,
    input: I
  ) => Effect.Effect<A, QueryError>
  /** Makes everything that depends on these out of date, here and for all who share the store. */
  readonly invalidate: (changed: ReadonlyArray<string>) => Effect.Effect<void>
  /** Removes everything from the store. */
  readonly clear: Effect.Effect<void>
  /** Ends the announcements of transactions that are known to have been rolled back. */
  readonly settle: Effect.Effect<void>
  /** How many changed things the store has not been told of. */
  readonly owed: () => number
}

/** How often a scope that closes tells the store what it owes it. */
const lastTries = 5

/**
 * In a fiber of its own, so that its limit holds where the caller can't be interrupted; one that is nobody's, so that
 * it is still told when the scope closes.
 */
const inTime = (tell: Effect.Effect<Option.Option<unknown>>): Effect.Effect<boolean> =>
  tell.pipe(
    Effect.forkDetach({ startImmediately: true }),
    Effect.flatMap(Fiber.await),
    Effect.map((exit) => Exit.isSuccess(exit) && Option.isSome(exit.value))
  )

/** Lets the executor refuse an invalid input; a valid one whose changes can't be named must not be written. */
const unnamed = <I, A>(mutation: Mutation<I, A>, cause: unknown): Mutation<I, A> => ({
  ...mutation,
  run: () => Effect.die(new Error(`${mutation.name}: changes(input) threw, nothing was written`, { cause }))
})

export const make = (options: {
  readonly store: CacheStoreShape
  readonly feed: ChangeFeed["Service"] | undefined
  readonly guard: Guard
  readonly fences: Fences
  readonly watch: Watch
  readonly settings: Settings
}): Effect.Effect<Writes, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { feed, fences, guard, settings, store, watch } = options
    const leaseMs = Duration.toMillis(settings.lease)
    const pauseMs = Duration.toMillis(settings.storePause)
    const writer = Buffer.from(SecureRandom.randomBytesUnsafe(12)).toString("base64url")
    const open = new Map<string, Write>()
    const debt = Debt.make(fences)
    let count = 0
    let unheardAt = -Infinity

    const nextId = (): string => `${writer}-${++count}`
    const until = Effect.map(Clock.currentTimeMillis, (now) => now + leaseMs)

    const announceOnce = (write: Write) =>
      Effect.flatMap(until, (until) =>
        write.ended ? Effect.succeedNone : guard.insist("announce", store.announce(write.id, write.changed, until))
      )

    /** A write can wait a little where a read can't: unannounced, other processes may miss it. */
    const announcePatiently = (write: Write) =>
      announceOnce(write).pipe(
        Effect.repeat({ until: Option.isSome, schedule: Schedule.spaced("20 millis") }),
        Effect.timeoutOption(settings.announceWithin),
        Effect.map(Option.flatten)
      )

    /** Waits for the store, but not again and again for one that has not answered lately. */
    const announce = (write: Write): Effect.Effect<void> =>
      Effect.gen(function* () {
        const patient = (yield* Clock.currentTimeMillis) - unheardAt >= pauseMs
        const told = yield* patient ? announcePatiently(write) : announceOnce(write)
        unheardAt = Option.isSome(told) ? -Infinity : yield* Clock.currentTimeMillis
      })

    const begin = (changed: ReadonlyArray<string>): Write => {
      const write: Write = { id: nextId(), changed, ended: false, enlisted: false, ran: undefined, outer: undefined }
      open.set(write.id, write)
      fences.announce(changed)
      return write
    }

    const tellStore = (id: string, changed: ReadonlyArray<string>, outcome: Outcome): Effect.Effect<boolean> =>
      inTime(Effect.flatMap(until, (until) => guard.insist("resolve", store.resolve(id, changed, outcome, until))))

    const clearStore = inTime(Effect.suspend(() => guard.insist("clear", store.clear)))

    const end = (write: Write, outcome: Outcome): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (write.ended) return Effect.void
        write.ended = true
        open.delete(write.id)
        // Here first and at once: whoever reads from now on must not find what was there before.
        if (outcome === "changed") fences.change(write.changed)
        return Effect.map(tellStore(write.id, write.changed, outcome), (told) => {
          // Untold, the change stays announced in this process until the store knows of it.
          if (!told && outcome === "changed") debt.add(write.changed)
          fences.end(write.changed)
        })
      }).pipe(Effect.uninterruptible)

    const invalidate = (changed: ReadonlyArray<string>): Effect.Effect<void> =>
      Effect.suspend(() => end(begin(changed), "changed")).pipe(Effect.uninterruptible)

    /** The transaction of a mutation has committed, whatever it was taken for before. */
    const committed = (write: Write): Effect.Effect<void> =>
      Effect.suspend(() => (write.ended ? invalidate(write.changed) : end(write, "changed")))

    const clear = Effect.map(clearStore, (told) => {
      if (!told) debt.addAll()
    }).pipe(Effect.uninterruptible)

    const pay = Effect.suspend(() => {
      const owed = debt.owed()
      if (owed.what === "nothing") return Effect.void
      const tell = owed.what === "everything" ? clearStore : tellStore(nextId(), owed.what, "changed")
      return Effect.map(tell, (told) => {
        if (told) debt.paid(owed)
      })
    })

    const settle = Effect.suspend(() =>
      Effect.forEach(
        [...open.values()],
        (write) =>
          write.outer === undefined
            ? Effect.void
            : Effect.flatMap(write.outer.wasRolledBack, (is) => (is ? end(write, "rolledBack") : Effect.void)),
        { discard: true }
      )
    )

    /** What ended without a word has been rolled back or committed: it is taken for a change. */
    const endSilent = Effect.suspend(() =>
      Effect.forEach(
        [...open.values()],
        (write) =>
          write.outer === undefined
            ? Effect.void
            : Effect.flatMap(write.outer.hasEnded, (ended) => (ended ? end(write, "changed") : Effect.void)),
        { discard: true }
      )
    )

    const prolong = Effect.suspend(() => Effect.forEach([...open.values()], announceOnce, { discard: true }))

    yield* Effect.addFinalizer(() =>
      LastWait.within(
        Duration.max(settings.announceWithin, settings.storeLimit),
        Effect.repeat(pay, { until: () => Effect.sync(() => debt.owed().what === "nothing"), times: lastTries - 1 })
      )
    )
    yield* pay.pipe(Effect.delay("1 second"), Effect.repeat(Schedule.forever), Effect.forkScoped)
    yield* settle.pipe(
      Effect.andThen(endSilent),
      Effect.andThen(prolong),
      Effect.delay(Duration.millis(leaseMs / 3)),
      Effect.repeat(Schedule.forever),
      Effect.forkScoped
    )

    /** The mutation, telling of its transaction when that commits. */
    const told = <I, A>(
      mutation: Mutation<I, A>,
      write: Write,
      caller: Context.Context<never> | undefined
    ): Mutation<I, A> => ({
      ...mutation,
      run: (input) =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const context = yield* Effect.context<never>()
          if (Transaction.isOpen(context)) {
            write.enlisted = true
            if (caller !== undefined) write.outer = Transaction.outer(sql, caller)
            yield* sql.afterCommit(committed(write))
          }
          const run =
            feed === undefined
              ? mutation.run(input)
              : Effect.tap(mutation.run(input), () => feed.publish({ dependencies: mutation.changes(input), tags: [] }))
          return yield* Effect.onExit(run, (exit) =>
            Effect.sync(() => {
              write.ran = exit
            })
          )
        })
    })

    /** How a mutation ended that failed. Where only the commit failed, or there was no transaction, nobody knows. */
    const outcomeOfFailure = (write: Write): Outcome => {
      if (write.ran === undefined) return "rolledBack"
      return write.enlisted && Exit.isFailure(write.ran) ? "rolledBack" : "changed"
    }

    const settled = (write: Write, nested: boolean, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> => {
      if (Exit.isFailure(exit)) return end(write, outcomeOfFailure(write))
      return write.enlisted && nested ? Effect.void : end(write, "changed")
    }

    const mutate: Writes["mutate"] = (executor, mutation, input) =>
      Effect.contextWith((context: Context.Context<never>) => {
        const nested = Transaction.isOpen(context)
        return Effect.uninterruptibleMask((restore) =>
          Effect.suspend(() => {
            const changes = Result.try(() => watch.changed(mutation.changes(input)))
            if (Result.isFailure(changes)) return restore(executor.mutate(unnamed(mutation, changes.failure), input))
            const write = begin(changes.success)
            const writing = told(mutation, write, nested ? context : undefined)
            return restore(Effect.andThen(announce(write), executor.mutate(writing, input))).pipe(
              Effect.onExit((exit) => settled(write, nested, exit))
            )
          })
        )
      })

    return { mutate, invalidate, clear, settle, owed: debt.size }
  })
