/**
 * The mutations that are under way: announced before they can commit, and ended once it is known how they did.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import * as Tracer from "effect/Tracer"
import * as SecureRandom from "effect/crypto/SecureRandom"
import type { Mutation } from "../../query/Mutation.ts"
import type { QueryError } from "../../query/Query.ts"
import type { QueryExecutor } from "../../query/QueryExecutor.ts"
import type { CacheStoreShape } from "../CacheStore.ts"
import type { Fences } from "./fences.ts"
import type { Guard } from "./guard.ts"
import * as Transaction from "./transaction.ts"
import * as Watch from "./watch.ts"

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
  outer: { readonly span: Tracer.AnySpan | undefined; readonly hasEnded: Effect.Effect<boolean> } | undefined
}

export interface Writes {
  readonly mutate: <I, A>(
    executor: QueryExecutor["Service"],
    mutation: Mutation<I, A>,
    input: I
  ) => Effect.Effect<A, QueryError>
  /** Makes everything that depends on these out of date, here and for all who share the store. */
  readonly invalidate: (changed: ReadonlyArray<string>) => Effect.Effect<void>
  /** Ends the announcements of transactions that are known to have been rolled back. */
  readonly settle: Effect.Effect<void>
  /** How many changes the store has not been told of. */
  readonly owed: () => number
}

export const make = (options: {
  readonly store: CacheStoreShape
  readonly guard: Guard
  readonly fences: Fences
  readonly lease: Duration.Duration
  readonly announceWithin: Duration.Duration
}): Effect.Effect<Writes, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { fences, guard, store } = options
    const leaseMs = Duration.toMillis(options.lease)
    const writer = Buffer.from(SecureRandom.randomBytesUnsafe(12)).toString("base64url")
    const open = new Map<string, Write>()
    const owed = new Map<string, ReadonlyArray<string>>()
    const scope = yield* Effect.scope
    let count = 0

    const until = Effect.map(Clock.currentTimeMillis, (now) => now + leaseMs)

    const announceOnce = (write: Write) =>
      Effect.flatMap(until, (until) =>
        write.ended ? Effect.succeedNone : guard.run("announce", store.announce(write.id, write.changed, until))
      )

    const announce = (write: Write): Effect.Effect<void> =>
      announceOnce(write).pipe(
        // A write can wait a little where a read can't: unannounced, other processes may miss it.
        Effect.repeat({ until: Option.isSome, schedule: Schedule.spaced("20 millis") }),
        Effect.timeoutOption(options.announceWithin),
        Effect.asVoid
      )

    const begin = (changed: ReadonlyArray<string>): Write => {
      const id = `${writer}-${++count}`
      const write: Write = { id, changed, ended: false, enlisted: false, ran: undefined, outer: undefined }
      open.set(id, write)
      fences.announce(changed)
      return write
    }

    /** In a fiber of its own, so that its limit holds where the caller can't be interrupted. */
    const tellStore = (id: string, changed: ReadonlyArray<string>, outcome: Outcome) =>
      Effect.flatMap(until, (until) => guard.run("resolve", store.resolve(id, changed, outcome, until))).pipe(
        Effect.forkIn(scope, { startImmediately: true }),
        Effect.flatMap(Fiber.await),
        Effect.map((exit) => Exit.isSuccess(exit) && Option.isSome(exit.value))
      )

    const end = (write: Write, outcome: Outcome): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (write.ended) return Effect.void
        write.ended = true
        open.delete(write.id)
        // Here first and at once: whoever reads from now on must not find what was there before.
        if (outcome === "changed") fences.change(write.changed)
        return Effect.map(tellStore(write.id, write.changed, outcome), (told) => {
          // Untold, the change stays announced in this process until the store knows of it.
          if (!told && outcome === "changed") owed.set(write.id, write.changed)
          else fences.end(write.changed)
        })
      }).pipe(Effect.uninterruptible)

    /** The transaction of a mutation has committed, whatever it was taken for before. */
    const committed = (write: Write): Effect.Effect<void> =>
      Effect.suspend(() => (write.ended ? invalidate(write.changed) : end(write, "changed")))

    const invalidate = (changed: ReadonlyArray<string>): Effect.Effect<void> =>
      Effect.suspend(() => end(begin(changed), "changed")).pipe(Effect.uninterruptible)

    const pay = Effect.suspend(() =>
      Effect.forEach(
        [...owed],
        ([id, changed]) =>
          Effect.map(tellStore(id, changed, "changed"), (told) => {
            if (told && owed.delete(id)) fences.end(changed)
          }),
        { discard: true }
      )
    )

    const settle = Effect.suspend(() =>
      Effect.forEach(
        [...open.values()].filter((write) => write.outer !== undefined && Transaction.wasRolledBack(write.outer.span)),
        (write) => end(write, "rolledBack"),
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

    yield* Effect.addFinalizer(() => pay)
    yield* pay.pipe(Effect.delay("1 second"), Effect.repeat(Schedule.forever), Effect.forkScoped)
    yield* settle.pipe(
      Effect.andThen(endSilent),
      Effect.andThen(prolong),
      Effect.delay(Duration.millis(leaseMs / 3)),
      Effect.repeat(Schedule.forever),
      Effect.forkScoped
    )

    /** The mutation, telling of its transaction when that commits. */
    const told = <I, A>(mutation: Mutation<I, A>, write: Write): Mutation<I, A> => ({
      ...mutation,
      run: (input) =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const context = yield* Effect.context<never>()
          if (Transaction.isOpen(context)) {
            write.enlisted = true
            write.outer = {
              span: Context.getOrUndefined(context, Tracer.ParentSpan),
              // Registering with a transaction that is over is a defect: the only question it answers.
              hasEnded: sql
                .afterCommit(Effect.void)
                .pipe(Effect.provideContext(context), Effect.exit, Effect.map(Exit.isFailure))
            }
            yield* sql.afterCommit(committed(write))
          }
          return yield* Effect.onExit(mutation.run(input), (exit) =>
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
            const changes = Result.try(() => Watch.changed(mutation.changes(input)))
            // An input that has no changes to name is the executor's to refuse.
            if (Result.isFailure(changes)) return restore(executor.mutate(mutation, input))
            const write = begin(changes.success)
            return restore(Effect.andThen(announce(write), executor.mutate(told(mutation, write), input))).pipe(
              Effect.onExit((exit) => settled(write, nested, exit))
            )
          })
        )
      })

    return {
      mutate,
      invalidate,
      settle,
      owed: () => owed.size
    }
  })
