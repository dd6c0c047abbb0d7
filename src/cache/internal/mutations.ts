/**
 * Mutations in progress: announced before they can commit, and resolved once their outcome is known. An unknown outcome
 * counts as a change.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import { LockTimeoutError, SqlError } from "effect/sql/SqlError"
import type { Mutation } from "../../query/Mutation.ts"
import type { MutationInterceptor, QueryExecutor } from "../../query/QueryExecutor.ts"
import type { ChangeFeed } from "../ChangeFeed.ts"
import * as CacheClock from "./cacheClock.ts"
import * as Publisher from "./invalidationPublisher.ts"
import type { InvalidationKeys, InvalidationTracker } from "./invalidationTracker.ts"
import type { Settings } from "./settings.ts"
import type { StoreBreaker } from "./storeBreaker.ts"
import type { CacheStoreShape, Outcome } from "./storeModel.ts"

export interface Mutations {
  readonly intercept: MutationInterceptor
  /**
   * Invalidates what watches these keys, here and for all users of the store; in a transaction of a known client, when
   * it commits.
   */
  readonly invalidate: (changed: ReadonlyArray<string>) => Effect.Effect<void>
  /** As `invalidate`, for changes committed elsewhere: immediately here, in the background for the store. */
  readonly invalidateCommitted: (changed: ReadonlyArray<string>) => void
  readonly clear: Effect.Effect<void>
  /** Resolves the mutations of these keys whose transaction has ended. */
  readonly settle: (watched: ReadonlyArray<string>) => Effect.Effect<void>
  readonly pendingInvalidations: () => number
}

/** The age at which an announcement is renewed before the commit, if the store can't confirm it. In milliseconds. */
const maxUnconfirmedMs = 100

/** The number of leases after which a transaction without a known end counts as ended, and its mutations as changes. */
const maxLeases = 20

interface OpenMutation {
  readonly id: string
  readonly changed: ReadonlyArray<string>
  /** When it started, and when the store last accepted its announcement, in milliseconds. */
  readonly startedAt: number
  announcedAt: number
  isEnded: boolean
  /** Whether its transaction reports a commit. */
  isEnlisted: boolean
  /** The exit of its program; `undefined` if it has not run. */
  ran: Exit.Exit<unknown, unknown> | undefined
  /** Whether the transaction that the caller opened around it has ended; `undefined` without one. */
  outerHasEnded: Effect.Effect<boolean> | undefined
}

/** The open mutations of this process, by changed key. */
const makeOpenMutations = (tracker: InvalidationTracker) => {
  const open = new Set<OpenMutation>()
  const byKey = new Map<string, Set<OpenMutation>>()

  return {
    start: (id: string, changed: ReadonlyArray<string>, now: number): OpenMutation => {
      const mutation: OpenMutation = {
        id,
        changed: [...new Set(changed)],
        startedAt: now,
        announcedAt: -Infinity,
        isEnded: false,
        isEnlisted: false,
        ran: undefined,
        outerHasEnded: undefined
      }
      open.add(mutation)
      for (const key of mutation.changed) {
        const found = byKey.get(key)
        if (found === undefined) byKey.set(key, new Set([mutation]))
        else found.add(mutation)
      }
      tracker.announce(mutation.changed)
      return mutation
    },
    /** `false` if it was closed before. Its keys remain announced in the tracker. */
    close: (mutation: OpenMutation): boolean => {
      if (!open.delete(mutation)) return false
      mutation.isEnded = true
      for (const key of mutation.changed) {
        const found = byKey.get(key)
        if (found?.delete(mutation) === true && found.size === 0) byKey.delete(key)
      }
      return true
    },
    all: (): ReadonlyArray<OpenMutation> => [...open],
    touching: (watched: ReadonlyArray<string>): ReadonlySet<OpenMutation> =>
      new Set(watched.flatMap((key) => [...(byKey.get(key) ?? [])]))
  }
}

const transactionOf = (context: Context.Context<never>, client: SqlClient.SqlClient) =>
  Context.getOrUndefined(context, client.transactionService)

/** Whether a transaction of the executor's client is open: its reads may see uncommitted data. */
export const hasTransaction = (executor: QueryExecutor["Service"], context: Context.Context<never>): boolean => {
  const client = executor.client()
  return client !== undefined && transactionOf(context, client) !== undefined
}

/** The client with an open transaction: that of the executor or that of the context. */
export const transactionClient = (
  executor: QueryExecutor["Service"],
  context: Context.Context<never>
): SqlClient.SqlClient | undefined =>
  [executor.client(), Context.getOrUndefined(context, SqlClient.SqlClient)].find(
    (client) => client !== undefined && transactionOf(context, client) !== undefined
  )

/**
 * Whether the caller's transaction has ended; `undefined` without one. A client reports commits only, but refuses
 * callbacks after the end. From within a savepoint the end of the outermost level is not observable: it counts as open,
 * until it reports a commit or `maxLeases` have passed.
 */
const outerHasEnded = (
  client: SqlClient.SqlClient,
  caller: Context.Context<never>
): Effect.Effect<boolean> | undefined => {
  const transaction = transactionOf(caller, client)
  if (transaction === undefined) return undefined
  const [, depth] = transaction
  return depth > 0
    ? Effect.succeed(false)
    : client.afterCommit(Effect.void).pipe(Effect.provideContext(caller), Effect.exit, Effect.map(Exit.isFailure))
}

/** Validates the input in the executor; a valid input must not be written without its changes. */
const withoutChanges = <I, A>(mutation: Mutation<I, A>, cause: unknown): Mutation<I, A> => ({
  ...mutation,
  run: () => Effect.die(new Error(`${mutation.name}: changes(input) threw, nothing was written`, { cause }))
})

const notAnnounced = (name: string): SqlError =>
  new SqlError({
    reason: new LockTimeoutError({
      cause: new Error("the cache store did not accept the announcement within announceTimeout"),
      message: `${name} was not executed: other processes could serve the results it replaces; retry, or set unannounced to "proceed"`,
      operation: "announce"
    })
  })

/** The outcome of a failed mutation. It is unknown if only the commit failed, or without a transaction. */
const outcomeOfFailure = (mutation: OpenMutation): Outcome => {
  if (mutation.ran === undefined) return "rolledBack"
  return mutation.isEnlisted && Exit.isFailure(mutation.ran) ? "rolledBack" : "changed"
}

interface Options {
  readonly executor: QueryExecutor["Service"]
  readonly store: CacheStoreShape
  readonly feed: ChangeFeed["Service"] | undefined
  readonly breaker: StoreBreaker
  readonly tracker: InvalidationTracker
  readonly keys: InvalidationKeys
  readonly settings: Settings
}

interface State extends Options {
  readonly publisher: Publisher.InvalidationPublisher
  readonly open: ReturnType<typeof makeOpenMutations>
  /** When the store last failed to accept an announcement or its end; `-Infinity` if it did. */
  failedAt: number
}

const start = ({ open, publisher }: State, changed: ReadonlyArray<string>): Effect.Effect<OpenMutation> =>
  Effect.map(CacheClock.now, (now) => open.start(publisher.nextId(), changed, now))

const noteFailure = (state: State, isAccepted: boolean): Effect.Effect<void> =>
  Effect.map(CacheClock.now, (now) => {
    state.failedAt = isAccepted ? -Infinity : now
  })

const announceOnce = ({ publisher }: State, mutation: OpenMutation): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    if (mutation.isEnded) return true
    const isAccepted = yield* publisher.announce(mutation.id, mutation.changed)
    if (isAccepted) mutation.announcedAt = yield* CacheClock.now
    return isAccepted
  })

/** Retries within `announceTimeout`: other processes may miss an unannounced change. */
const announce = (state: State, mutation: OpenMutation): Effect.Effect<boolean> =>
  announceOnce(state, mutation).pipe(
    Effect.repeat({ until: (isAccepted) => isAccepted, schedule: Schedule.spaced("20 millis") }),
    Effect.timeoutOption(state.settings.announceTimeoutMs),
    Effect.map(Option.getOrElse(() => false)),
    Effect.tap((isAccepted) => noteFailure(state, isAccepted))
  )

const requireAnnounced = ({ settings }: State, name: string, isAnnounced: boolean): Effect.Effect<void, SqlError> =>
  isAnnounced || settings.unannounced === "proceed" ? Effect.void : Effect.fail(notAnnounced(name))

const isStillAnnounced = ({ breaker, settings, store }: State, mutation: OpenMutation): Effect.Effect<boolean> =>
  Effect.flatMap(CacheClock.now, (now) => {
    const age = now - mutation.announcedAt
    if (store.isAnnounced === undefined) return Effect.succeed(age < maxUnconfirmedMs)
    // A transaction is open, and others may wait for it: this check takes no lock, an announcement does.
    return age < settings.announcementLeaseMs / 2
      ? Effect.map(
          breaker.attempt("isAnnounced", store.isAnnounced(mutation.id)),
          Option.getOrElse(() => false)
        )
      : Effect.succeed(false)
  })

/** Before the commit: the store may have been replaced since it accepted the announcement. */
const ensureAnnounced = (state: State, mutation: OpenMutation): Effect.Effect<boolean> =>
  Effect.flatMap(isStillAnnounced(state, mutation), (is) => {
    if (is) return Effect.succeed(true)
    // After a first timeout there is no second one.
    return mutation.announcedAt === -Infinity ? announceOnce(state, mutation) : announce(state, mutation)
  })

/** Resolves in the background. An unpublished change remains announced in this process. */
const resolveLater = ({ publisher, tracker }: State, mutation: OpenMutation, outcome: Outcome): void => {
  if (outcome === "changed") publisher.resolveLater(mutation.id, mutation.changed)
  else publisher.retractLater(mutation.id)
  tracker.end(mutation.changed)
}

const end = (state: State, mutation: OpenMutation, outcome: Outcome): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { open, publisher, settings, tracker } = state
    if (!open.close(mutation)) return
    // Synchronously, before the store: a later read must not find the replaced entries.
    if (outcome === "changed") tracker.change(mutation.changed)
    const hasFailed = (yield* CacheClock.now) - state.failedAt < settings.storeBreakerResetMs
    if (hasFailed) return resolveLater(state, mutation, outcome)
    const isAccepted = yield* publisher.resolve(mutation.id, mutation.changed, outcome)
    yield* noteFailure(state, isAccepted)
    if (isAccepted) tracker.end(mutation.changed)
    else resolveLater(state, mutation, outcome)
  }).pipe(Effect.uninterruptible)

const invalidateCommitted = ({ publisher, tracker }: State, changed: ReadonlyArray<string>): void => {
  tracker.change(changed)
  publisher.resolveLater(undefined, changed)
}

/** The transaction of a mutation has committed, possibly after its end was assumed. */
const committed = (state: State, mutation: OpenMutation): Effect.Effect<void> =>
  Effect.suspend(() =>
    mutation.isEnded ? Effect.sync(() => invalidateCommitted(state, mutation.changed)) : end(state, mutation, "changed")
  )

/** Resolves mutations whose transactions have ended without a commit, or too long ago: the outcome is unknown. */
const settle = (state: State, mutations: Iterable<OpenMutation>): Effect.Effect<void> =>
  Effect.flatMap(CacheClock.now, (now) =>
    Effect.forEach(
      mutations,
      (mutation) =>
        mutation.outerHasEnded === undefined
          ? Effect.void
          : Effect.flatMap(mutation.outerHasEnded, (hasEnded) =>
              hasEnded || now - mutation.startedAt > maxLeases * state.settings.announcementLeaseMs
                ? end(state, mutation, "changed")
                : Effect.void
            ),
      { discard: true }
    )
  )

/** Resolves a mutation after the commit of its transaction, and detects the end of the caller's transaction. */
const enlist = (
  state: State,
  mutation: OpenMutation,
  client: SqlClient.SqlClient,
  caller: Context.Context<never>
): Effect.Effect<void> =>
  Effect.suspend(() => {
    mutation.isEnlisted = true
    mutation.outerHasEnded = outerHasEnded(client, caller)
    return client.afterCommit(committed(state, mutation))
  })

/** Extends the program of a mutation: enlists, publishes to the feed, and checks the announcement before the commit. */
const extended = <I, A>(
  state: State,
  mutation: Mutation<I, A>,
  open: OpenMutation,
  caller: Context.Context<never>
): Mutation<I, A> => ({
  ...mutation,
  run: (input) =>
    Effect.gen(function* () {
      const client = yield* SqlClient.SqlClient
      if (transactionOf(yield* Effect.context<never>(), client) !== undefined) {
        yield* enlist(state, open, client, caller)
      }
      return yield* mutation.run(input).pipe(
        Effect.tap(() =>
          state.feed === undefined
            ? Effect.void
            : state.feed.publish({ dependencies: mutation.changes(input), tags: [] })
        ),
        Effect.tap(() =>
          Effect.flatMap(ensureAnnounced(state, open), (is) => requireAnnounced(state, mutation.name, is))
        ),
        Effect.onExit((exit) =>
          Effect.sync(() => {
            open.ran = exit
          })
        )
      )
    })
})

const finish = (state: State, open: OpenMutation, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> => {
  // The caller's transaction decides, and continues.
  if (open.outerHasEnded !== undefined && open.ran !== undefined && Exit.isSuccess(open.ran)) return Effect.void
  return end(state, open, Exit.isSuccess(exit) ? "changed" : outcomeOfFailure(open))
}

const intercept =
  (state: State): MutationInterceptor =>
  (mutation, input, next) =>
    Effect.contextWith((caller: Context.Context<never>) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.suspend(() => {
          const changes = Result.try(() => state.keys.changed(mutation.changes(input)))
          if (Result.isFailure(changes)) return restore(next(withoutChanges(mutation, changes.failure)))
          return Effect.flatMap(start(state, changes.success), (open) =>
            restore(
              announce(state, open).pipe(
                Effect.flatMap((is) => requireAnnounced(state, mutation.name, is)),
                Effect.andThen(Effect.suspend(() => next(extended(state, mutation, open, caller))))
              )
            ).pipe(Effect.onExit((exit) => finish(state, open, exit)))
          )
        })
      )
    )

const invalidate = (state: State, changed: ReadonlyArray<string>): Effect.Effect<void> =>
  Effect.contextWith((caller: Context.Context<never>) => {
    const client = transactionClient(state.executor, caller)
    return Effect.flatMap(start(state, changed), (open) => {
      if (client === undefined) return end(state, open, "changed")
      open.ran = Exit.void
      return Effect.andThen(enlist(state, open, client, caller), announce(state, open))
    })
  }).pipe(Effect.uninterruptible, Effect.asVoid)

export const make = (options: Options): Effect.Effect<Mutations, never, Scope.Scope> =>
  Effect.gen(function* () {
    const publisher = yield* Publisher.make(options)
    const open = makeOpenMutations(options.tracker)
    const state: State = { ...options, publisher, open, failedAt: -Infinity }

    yield* Effect.suspend(() => settle(state, open.all())).pipe(
      Effect.andThen(
        Effect.suspend(() => Effect.forEach(open.all(), (mutation) => announceOnce(state, mutation), { discard: true }))
      ),
      Effect.delay(options.settings.announcementLeaseMs / 3),
      Effect.repeat(Schedule.forever),
      Effect.forkScoped
    )

    return {
      intercept: intercept(state),
      invalidate: (changed) => invalidate(state, changed),
      invalidateCommitted: (changed) => invalidateCommitted(state, changed),
      clear: Effect.uninterruptible(publisher.clear),
      settle: (watched) => Effect.suspend(() => settle(state, open.touching(watched))),
      pendingInvalidations: publisher.pendingInvalidations
    }
  })
