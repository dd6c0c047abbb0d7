/**
 * Acquires the lock of a home, and replaces its holder where that is right.
 *
 * A holder that responds and is as new stays. An older one is stopped. One that does not respond is terminated, but
 * only if it is proven to be the holder: the lock is held, and the process with the recorded pid has the recorded start
 * time. Without the proof no process is ever terminated. The proof is repeated before each signal: a new holder is
 * treated on its own.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import type * as Path from "effect/Path"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { monotonicMs } from "../internal/clock.ts"
import { DaemonClient, type UntrustedFolder, type Refused } from "./DaemonClient.ts"
import * as DaemonLock from "./DaemonLock.ts"
import type { Health } from "./DaemonStatus.ts"
import { isOlder } from "../internal/compareVersions.ts"

const id = "athena-hooks/daemon/DaemonTakeover"

/**
 * The holder of the lock was not replaced: it was left alone, or did not end.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotReplaced extends Schema.TaggedError<NotReplaced>(`${id}/NotReplaced`)("NotReplaced", {
  /** The last recorded holder; no proof. */
  identity: Schema.NullOr(DaemonLock.Identity),
  /** Why it was not replaced. */
  detail: Schema.String
}) {
  override get message(): string {
    const which = this.identity === null ? "" : `, probably number ${this.identity.pid}`
    return `the daemon ${this.detail}; if it is an athena process${which}, end it yourself and try again`
  }
}

/**
 * Outcome of a takeover.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome =
  /** This process holds the lock until the scope closes. */
  | { readonly _tag: "Acquired"; readonly identity: DaemonLock.Identity; readonly replaced: boolean }
  /** Another daemon, as new or newer, responds. */
  | { readonly _tag: "AlreadyRunning"; readonly health: Health }
  /** Another daemon acquired the lock recently and does not respond yet. */
  | { readonly _tag: "Starting"; readonly identity: DaemonLock.Identity }

/**
 * Errors of a takeover.
 *
 * @category errors
 * @since 0.1.0
 */
export type DaemonTakeoverError = NotReplaced | UntrustedFolder | DaemonLock.FolderRefused | DaemonLock.LockUnusable

/**
 * Options of the takeover.
 *
 * @category models
 * @since 0.1.0
 */
export interface DaemonTakeoverOptions extends DaemonLock.DaemonLockOptions {
  /** How long the holder may not respond before it counts as hung. 5 seconds when absent. */
  readonly responseTimeout?: Duration.Input | undefined
  /** How long after it acquired the lock a holder may not respond, because it is starting. 30 seconds when absent. */
  readonly startupTimeout?: Duration.Input | undefined
  /** How long a holder may take to end after it was stopped or received SIGKILL. 10 seconds when absent. */
  readonly stopTimeout?: Duration.Input | undefined
  /** Time between SIGTERM and SIGKILL. 2 seconds when absent. */
  readonly terminateTimeout?: Duration.Input | undefined
}

const pause = Effect.sleep("50 millis")

/** Repeats an attempt until it succeeds or the timeout passes. An attempt in progress is completed. */
const retryUntil = <A, E, R>(
  limit: Duration.Duration,
  attempt: (left: Duration.Duration) => Effect.Effect<Option.Option<A>, E, R>
): Effect.Effect<Option.Option<A>, E, R> =>
  Effect.gen(function* () {
    const end = (yield* monotonicMs) + Duration.toMillis(limit)
    for (;;) {
      const left = end - (yield* monotonicMs)
      const answer = yield* attempt(Duration.millis(Math.max(1, left)))
      if (Option.isSome(answer) || left <= 0) return answer
      yield* pause
    }
  })

type Lock = Effect.Effect<Option.Option<DaemonLock.Identity>, DaemonTakeoverError, Needs>
type Needs = Scope.Scope | FileSystem.FileSystem | Path.Path

const tryLock = (options: DaemonLock.DaemonLockOptions): Lock =>
  DaemonLock.acquire(options).pipe(
    Effect.asSome,
    Effect.catchTag("LockHeld", () => Effect.succeedNone)
  )

const signal = (pid: number, name: "SIGTERM" | "SIGKILL") =>
  Effect.sync(() => {
    try {
      process.kill(pid, name)
    } catch {
      // It has ended already, which the lock shows.
    }
  })

interface Takeover {
  readonly options: DaemonTakeoverOptions
  readonly lock: Lock
}

const acquired = (identity: DaemonLock.Identity, replaced: boolean): Outcome => ({
  _tag: "Acquired",
  identity,
  replaced
})

const refuse = (home: string, detail: string) =>
  Effect.flatMap(DaemonLock.identity(home), (identity) => Effect.fail(new NotReplaced({ identity, detail })))

const durationOf = (input: Duration.Input | undefined, otherwise: Duration.Input): Duration.Duration =>
  Duration.fromInputUnsafe(input ?? otherwise)

/** The holder to replace; `null` if its record can't be read. */
type Holder = DaemonLock.Identity | null

type Attempt = Effect.Effect<Outcome, DaemonTakeoverError, DaemonClient | Needs>

/** Acquires a free lock; starts over if the holder is not the one to replace. */
const takeFrom = (
  contest: Takeover,
  holder: Holder
): Effect.Effect<Option.Option<Outcome>, DaemonTakeoverError, DaemonClient | Needs> =>
  Effect.gen(function* () {
    const free = yield* contest.lock
    if (Option.isSome(free)) return Option.some(acquired(free.value, true))
    const current = yield* DaemonLock.identity(contest.options.home)
    return current?.instance === holder?.instance ? Option.none() : Option.some(yield* takeOver(contest))
  })

/** Terminates a proven holder and acquires the lock. */
const force = (contest: Takeover, holder: Holder, why: string): Attempt =>
  Effect.gen(function* () {
    const { options } = contest
    for (const [name, limit] of [
      ["SIGTERM", durationOf(options.terminateTimeout, "2 seconds")],
      ["SIGKILL", durationOf(options.stopTimeout, "10 seconds")]
    ] as const) {
      const before = yield* takeFrom(contest, holder)
      if (Option.isSome(before)) return before.value
      if (holder === null || !DaemonLock.isAlive(holder)) {
        return yield* refuse(options.home, `${why} and is not proven to be athena's, so it was left alone`)
      }
      yield* signal(holder.pid, name)
      const taken = yield* retryUntil(limit, () => takeFrom(contest, holder))
      if (Option.isSome(taken)) return taken.value
    }
    return yield* refuse(options.home, `${why} and can't be ended`)
  })

type ProbeResult =
  | { readonly _tag: "Free"; readonly identity: DaemonLock.Identity }
  | { readonly _tag: "Answered"; readonly health: Health }
  | { readonly _tag: "Refused"; readonly refusal: Refused }

/**
 * Waits for a response of the holder, or for a free lock. A holder that is ending responds with 503, and is waited for.
 */
const probeHolder = ({ lock, options }: Takeover) =>
  Effect.gen(function* () {
    const client = yield* DaemonClient
    return yield* retryUntil(durationOf(options.responseTimeout, "5 seconds"), (left) =>
      Effect.gen(function* () {
        const free = yield* lock
        if (Option.isSome(free)) return Option.some<ProbeResult>({ _tag: "Free", identity: free.value })
        const answer = yield* Effect.timeoutOption(Effect.result(client.health), left)
        if (Option.isNone(answer)) return Option.none<ProbeResult>()
        if (Result.isSuccess(answer.value))
          return Option.some<ProbeResult>({ _tag: "Answered", health: answer.value.success })
        const error = answer.value.failure
        if (error._tag === "UntrustedFolder") return yield* error
        return error._tag === "Refused" && error.status !== 503
          ? Option.some<ProbeResult>({ _tag: "Refused", refusal: error })
          : Option.none<ProbeResult>()
      })
    )
  })

/** Stops an older holder and acquires the lock. */
const replace = (contest: Takeover, holder: Holder): Attempt =>
  Effect.gen(function* () {
    const client = yield* DaemonClient
    const before = yield* takeFrom(contest, holder)
    if (Option.isSome(before)) return before.value
    yield* Effect.ignore(client.stop)
    const taken = yield* retryUntil(durationOf(contest.options.stopTimeout, "10 seconds"), () =>
      takeFrom(contest, holder)
    )
    return Option.isSome(taken)
      ? taken.value
      : yield* force(contest, holder, "is of an older version, received a request to end and did not end,")
  })

/** The holder uses another protocol or token. */
const replaceRefusing = (contest: Takeover, holder: Holder, refusal: Refused): Attempt =>
  Effect.gen(function* () {
    const { home, version } = contest.options
    const found = refusal.version ?? holder?.version
    return found !== undefined && isOlder(found, version)
      ? yield* force(contest, holder, "is of an older version that accepts no request to end")
      : yield* refuse(home, `rejects requests (status ${refusal.status})`)
  })

/** A holder that started recently is left alone. */
const replaceSilent = (contest: Takeover, holder: Holder): Attempt =>
  Effect.gen(function* () {
    if (holder !== null && DaemonLock.isAlive(holder)) {
      const startedAt = Option.map(DateTime.make(holder.startedAt), DateTime.toEpochMillis)
      const age = (yield* Clock.currentTimeMillis) - Option.getOrElse(startedAt, () => 0)
      const startup = Duration.toMillis(durationOf(contest.options.startupTimeout, "30 seconds"))
      if (age >= 0 && age < startup) return { _tag: "Starting", identity: holder } satisfies Outcome as Outcome
    }
    return yield* force(contest, holder, "does not respond")
  })

const takeOver = (contest: Takeover): Attempt =>
  Effect.gen(function* () {
    // Read before the first request, to recognize a later holder.
    const holder = yield* DaemonLock.identity(contest.options.home)
    const met = yield* probeHolder(contest)
    if (Option.isNone(met)) return yield* replaceSilent(contest, holder)
    switch (met.value._tag) {
      case "Free":
        return acquired(met.value.identity, false)
      case "Refused":
        return yield* replaceRefusing(contest, holder, met.value.refusal)
      case "Answered": {
        const { health } = met.value
        if (isOlder(health.version, contest.options.version)) return yield* replace(contest, holder)
        return { _tag: "AlreadyRunning", health } satisfies Outcome as Outcome
      }
    }
  })

/**
 * Acquires the lock of a home until the scope closes, or returns which daemon stays. It takes up to `responseTimeout`
 * if the holder does not respond, and `terminateTimeout` and `stopTimeout` to terminate it.
 *
 * **Example**
 *
 * ```ts
 * import * as DaemonTakeover from "athena-hooks/daemon/DaemonTakeover"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.scoped(
 *   Effect.gen(function* () {
 *     const outcome = yield* DaemonTakeover.acquire({ home: "/home/ada/.athena", version: "1.0.0" })
 *     if (outcome._tag !== "Acquired") return yield* Effect.log("another one is at it")
 *     return yield* Effect.never
 *   })
 * )
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const acquire = (
  options: DaemonTakeoverOptions
): Effect.Effect<Outcome, DaemonTakeoverError, DaemonClient | Needs> => {
  const contest: Takeover = { options, lock: tryLock(options) }
  return Effect.flatMap(contest.lock, (free) =>
    Option.isSome(free) ? Effect.succeed(acquired(free.value, false)) : takeOver(contest)
  )
}
