/**
 * The mutations that run through the cache: announced before they can commit, and ended once it is known how they did.
 */
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import { LockTimeoutError, SqlError } from "effect/sql/SqlError"
import type { Mutation } from "../../query/Mutation.ts"
import type { QueryError } from "../../query/Query.ts"
import type { QueryExecutor } from "../../query/QueryExecutor.ts"
import type { CacheStoreShape } from "../CacheStore.ts"
import type { ChangeFeed } from "../ChangeFeed.ts"
import type { InvalidationTracker } from "./invalidationTracker.ts"
import type { StoreBreaker } from "./storeBreaker.ts"
import * as OpenWrites from "./openMutations.ts"
import type { Settings } from "./settings.ts"
import * as Teller from "./invalidationPublisher.ts"
import * as Transaction from "./transaction.ts"
import type { InvalidationKeys } from "./invalidationKeys.ts"
import * as Time from "./time.ts"

export interface Mutations {
  readonly mutate: <I, A>(
    executor: QueryExecutor["Service"],
    mutation: Mutation<I, A>,
    input: I
  ) => Effect.Effect<A, QueryError>
  /**
   * Makes everything that depends on these out of date, here and for all who share the store; in a transaction of a
   * client that is known, when it commits.
   */
  readonly invalidate: (changed: ReadonlyArray<string>) => Effect.Effect<void>
  /** As `invalidate`, for what has been committed elsewhere: at once here, and behind for the store. */
  readonly hear: (changed: ReadonlyArray<string>) => void
  /** Removes everything from the store. */
  readonly clear: Effect.Effect<void>
  /** Ends the announcements of transactions that are known to have been rolled back, where they touch some of this. */
  readonly settle: (watched: ReadonlyArray<string>) => Effect.Effect<void>
  /** How many changed things the store has not been told of. */
  readonly pendingInvalidations: () => number
}

/** Where a store can't say whether an announcement stands, it is made again before a mutation commits that took longer. */
const longMs = 100

/** How many clients are remembered; more than one is rare. */
const maxClients = 16

/** After so many leases a transaction of which nothing can be told counts as ended, and its mutations as changes. */
const mostLeases = 20

/** Lets the executor refuse an invalid input; a valid one whose changes can't be named must not be written. */
const unnamed = <I, A>(mutation: Mutation<I, A>, cause: unknown): Mutation<I, A> => ({
  ...mutation,
  run: () => Effect.die(new Error(`${mutation.name}: changes(input) threw, nothing was written`, { cause }))
})

const notAnnounced = (name: string): SqlError =>
  new SqlError({
    reason: new LockTimeoutError({
      cause: new Error("the store of the cache did not take the announcement in time"),
      message: `${name} was not carried out: other processes could not be kept from serving what it replaces`,
      operation: "announce"
    })
  })

/** How a mutation ended that failed. Where only the commit failed, or there was no transaction, nobody knows. */
const outcomeOfFailure = (write: OpenWrites.OpenMutation): Teller.Outcome => {
  if (write.ran === undefined) return "rolledBack"
  return write.enlisted && Exit.isFailure(write.ran) ? "rolledBack" : "changed"
}

export const make = (options: {
  readonly store: CacheStoreShape
  readonly feed: ChangeFeed["Service"] | undefined
  readonly guard: StoreBreaker
  readonly fences: InvalidationTracker
  readonly watch: InvalidationKeys
  readonly settings: Settings
}): Effect.Effect<Mutations, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { feed, fences, guard, settings, store, watch } = options
    const leaseMs = Duration.toMillis(settings.lease)
    const pauseMs = Duration.toMillis(settings.storeBreakerResetTimeout)
    const open = OpenWrites.make(fences)
    /** The clients that mutations have run on: a transaction of one of them may be open where it is not in the context. */
    const clients = new Set<SqlClient.SqlClient>()
    const teller = yield* Teller.make({ store, guard, fences, settings })
    let unheardAt = -Infinity

    const begin = (changed: ReadonlyArray<string>): Effect.Effect<OpenWrites.OpenMutation> =>
      Effect.map(Time.now, (now) => open.begin(teller.nextId(), changed, now))

    const announceOnce = (write: OpenWrites.OpenMutation): Effect.Effect<boolean> =>
      Effect.gen(function* () {
        if (write.ended) return true
        const told = yield* teller.announce(write.id, write.changed)
        if (told) write.announcedAt = yield* Time.now
        return told
      })

    /** A write can wait a little where a read can't: unannounced, other processes may miss it. */
    const announcePatiently = (write: OpenWrites.OpenMutation): Effect.Effect<boolean> =>
      announceOnce(write).pipe(
        Effect.repeat({ until: (told) => told, schedule: Schedule.spaced("20 millis") }),
        Effect.timeoutOption(settings.announceTimeout),
        Effect.map(Option.getOrElse(() => false))
      )

    /** Whether the store has answered lately, as far as is known: the end of a write is told behind where it has not. */
    const isAnswering = Effect.map(Time.now, (now) => now - unheardAt >= pauseMs)

    const note = (told: boolean): Effect.Effect<void> =>
      Effect.map(Time.now, (now) => {
        unheardAt = told ? -Infinity : now
      })

    const announce = (write: OpenWrites.OpenMutation): Effect.Effect<boolean> =>
      Effect.tap(announcePatiently(write), note)

    /** As the options say: goes on all the same, or fails. */
    const orElse = (name: string, announced: boolean): Effect.Effect<void, SqlError> =>
      announced || settings.unannounced === "proceed" ? Effect.void : Effect.fail(notAnnounced(name))

    const stands = (write: OpenWrites.OpenMutation): Effect.Effect<boolean> =>
      Effect.flatMap(Time.now, (now) => {
        const age = now - write.announcedAt
        if (store.isAnnounced === undefined) return Effect.succeed(age < longMs)
        // The transaction is open by now, and others may wait for it: asking takes no lock, and announcing does.
        return age < leaseMs / 2
          ? Effect.map(
              guard.insist("isAnnounced", store.isAnnounced(write.id)),
              Option.getOrElse(() => false)
            )
          : Effect.succeed(false)
      })

    /** Before a mutation commits: the store may have been replaced since it took the announcement. */
    const announceAgain = (write: OpenWrites.OpenMutation): Effect.Effect<boolean> =>
      Effect.flatMap(stands(write), (stands) => {
        if (stands) return Effect.succeed(true)
        // One that was waited for in vain is not waited for again.
        return write.announcedAt === -Infinity ? announceOnce(write) : announce(write)
      })

    /** Has the store told behind. Untold, a change stays announced in this process until the store knows of it. */
    const resolveBehind = (write: OpenWrites.OpenMutation, outcome: Teller.Outcome): void => {
      if (outcome === "changed") teller.resolveBehind(write.id, write.changed)
      else teller.retractBehind(write.id)
      fences.end(write.changed)
    }

    const end = (write: OpenWrites.OpenMutation, outcome: Teller.Outcome): Effect.Effect<void> =>
      Effect.gen(function* () {
        if (!open.close(write)) return
        // Here first and at once: whoever reads from now on must not find what was there before.
        if (outcome === "changed") fences.change(write.changed)
        if (!(yield* isAnswering)) return resolveBehind(write, outcome)
        const told = yield* teller.resolve(write.id, write.changed, outcome)
        yield* note(told)
        if (told) fences.end(write.changed)
        else resolveBehind(write, outcome)
      }).pipe(Effect.uninterruptible)

    const hear: Mutations["hear"] = (changed) => {
      fences.change(changed)
      teller.resolveBehind(undefined, changed)
    }

    /** The transaction of a mutation has committed, whatever it was taken for before. */
    const committed = (write: OpenWrites.OpenMutation): Effect.Effect<void> =>
      Effect.suspend(() => (write.ended ? Effect.sync(() => hear(write.changed)) : end(write, "changed")))

    const settleAll = (writes: Iterable<OpenWrites.OpenMutation>): Effect.Effect<void> =>
      Effect.forEach(
        writes,
        (write) =>
          write.outer === undefined
            ? Effect.void
            : Effect.flatMap(write.outer.wasRolledBack, (is) => (is ? end(write, "rolledBack") : Effect.void)),
        { discard: true }
      )

    /** What ended without a word has been rolled back or committed: it is taken for a change. */
    const endSilent = Effect.flatMap(Time.now, (now) =>
      Effect.forEach(
        open.all(),
        (write) =>
          write.outer === undefined
            ? Effect.void
            : Effect.flatMap(write.outer.hasEnded, (ended) =>
                ended || now - write.beganAt > mostLeases * leaseMs ? end(write, "changed") : Effect.void
              ),
        { discard: true }
      )
    )

    const prolong = Effect.suspend(() => Effect.forEach(open.all(), announceOnce, { discard: true }))

    yield* Effect.suspend(() => settleAll(open.all())).pipe(
      Effect.andThen(endSilent),
      Effect.andThen(prolong),
      Effect.delay(Duration.millis(leaseMs / 3)),
      Effect.repeat(Schedule.forever),
      Effect.forkScoped
    )

    /** Has the write ended with the transaction that is open, and knows of the one that the caller opened. */
    const enlist = (write: OpenWrites.OpenMutation, caller: Context.Context<never>) =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        if (!Transaction.isOpen(yield* Effect.context<never>())) return
        if (clients.size < maxClients) clients.add(sql)
        write.enlisted = true
        write.outer = Transaction.outer(sql, caller)
        yield* sql.afterCommit(committed(write))
      })

    /** The mutation, telling of its transaction when that commits. */
    const told = <I, A>(
      mutation: Mutation<I, A>,
      write: OpenWrites.OpenMutation,
      caller: Context.Context<never>
    ): Mutation<I, A> => ({
      ...mutation,
      run: (input) =>
        Effect.gen(function* () {
          yield* enlist(write, caller)
          return yield* mutation.run(input).pipe(
            Effect.tap(() =>
              feed === undefined ? Effect.void : feed.publish({ dependencies: mutation.changes(input), tags: [] })
            ),
            Effect.tap(() => Effect.flatMap(announceAgain(write), (is) => orElse(mutation.name, is))),
            Effect.onExit((exit) =>
              Effect.sync(() => {
                write.ran = exit
              })
            )
          )
        })
    })

    const settled = (write: OpenWrites.OpenMutation, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> => {
      // What its own part has come to says nothing: the transaction around it goes on.
      if (write.outer !== undefined && write.ran !== undefined && Exit.isSuccess(write.ran)) return Effect.void
      return end(write, Exit.isSuccess(exit) ? "changed" : outcomeOfFailure(write))
    }

    const mutate: Mutations["mutate"] = (executor, mutation, input) =>
      Effect.contextWith((caller: Context.Context<never>) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.suspend(() => {
            const changes = Result.try(() => watch.changed(mutation.changes(input)))
            if (Result.isFailure(changes)) return restore(executor.mutate(unnamed(mutation, changes.failure), input))
            return Effect.flatMap(begin(changes.success), (write) =>
              restore(
                announce(write).pipe(
                  Effect.flatMap((is) => orElse(mutation.name, is)),
                  Effect.andThen(executor.mutate(told(mutation, write, caller), input))
                )
              ).pipe(Effect.onExit((exit) => settled(write, exit)))
            )
          })
        )
      )

    const invalidateNow = (changed: ReadonlyArray<string>): Effect.Effect<void> =>
      Effect.flatMap(begin(changed), (write) => end(write, "changed")).pipe(Effect.uninterruptible)

    const invalidate: Mutations["invalidate"] = (changed) =>
      Effect.contextWith((caller: Context.Context<never>) => {
        const sql = Transaction.clientOf(caller, clients)
        if (sql === undefined) return invalidateNow(changed)
        return Effect.gen(function* () {
          const write = yield* begin(changed)
          write.enlisted = true
          write.ran = Exit.void
          write.outer = Transaction.outer(sql, caller)
          yield* sql.afterCommit(committed(write))
          yield* announce(write)
        }).pipe(Effect.uninterruptible)
      })

    return {
      mutate,
      invalidate,
      hear,
      clear: Effect.uninterruptible(teller.clear),
      settle: (watched) => Effect.suspend(() => settleAll(open.touching(watched))),
      pendingInvalidations: teller.pendingInvalidations
    }
  })
