/**
 * Becomes the resident process of a home, in the place of another one where that is right.
 *
 * One that answers and is as new stays. An older one is asked to end. One that does not answer is ended, but only where
 * it is proven to be the holder of the lock: the lock is held, and the process of that number started when the holder
 * said it did. Without the proof nothing is ever ended. Whoever was found to be the holder is asked and ended only while it
 * is: where another one took its place meanwhile, that one is met as any other.
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
 * The holder of the lock could not be replaced, and was left alone or did not end.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotReplaced extends Schema.TaggedError<NotReplaced>(`${id}/NotReplaced`)("NotReplaced", {
  /** Who said last that it holds the lock; no proof. */
  identity: Schema.NullOr(DaemonLock.Identity),
  /** Why it was not replaced. */
  detail: Schema.String
}) {
  override get message(): string {
    const which = this.identity === null ? "" : `, probably number ${this.identity.pid}`
    return `the resident process ${this.detail}; if it is an athena process${which}, end it yourself and try again`
  }
}

/**
 * What came of it.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome =
  /** The lock is held by this process until the scope ends. */
  | { readonly _tag: "Acquired"; readonly identity: DaemonLock.Identity; readonly replaced: boolean }
  /** Another one, as new or newer, answers. */
  | { readonly _tag: "AlreadyRunning"; readonly health: Health }
  /** Another one took the lock moments ago and does not answer yet. */
  | { readonly _tag: "Starting"; readonly identity: DaemonLock.Identity }

/**
 * What it can fail with.
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
  /** How long the holder may be silent before it counts as hung; 5 seconds when absent. */
  readonly responseTimeout?: Duration.Input | undefined
  /** How long after it took the lock a holder may be silent, because it is starting; 30 seconds when absent. */
  readonly startupTimeout?: Duration.Input | undefined
  /** How long a holder that was asked to end may take; 10 seconds when absent. */
  readonly stopTimeout?: Duration.Input | undefined
  /** How long a holder that was sent SIGTERM may take before it is sent SIGKILL; 2 seconds when absent. */
  readonly terminateTimeout?: Duration.Input | undefined
}

const pause = Effect.sleep("50 millis")

/** Asks again and again until there is an answer or the time is over. What is under way when it is over is finished. */
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

/** Tries for the lock once. */
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
      // It has ended by itself, which the lock will show.
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

/** Who is to be replaced; `null` where that can't be read. */
type Holder = DaemonLock.Identity | null

type Attempt = Effect.Effect<Outcome, DaemonTakeoverError, DaemonClient | Needs>

/** The lock, where it is free; what comes of it where it is held by another one than the one that is to be replaced. */
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

/** Ends the holder by a signal, if it is proven to be it, and takes the lock. The proof is asked for before each signal. */
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

/** Waits until the holder has answered, or is gone. One that is ending says so, and is waited for. */
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

/** Asks an older holder to end, and takes its place. */
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
      : yield* force(contest, holder, "is of an older version, was asked to end and did not,")
  })

/** A holder that won't say how it is: of another protocol, or with another token. */
const replaceRefusing = (contest: Takeover, holder: Holder, refusal: Refused): Attempt =>
  Effect.gen(function* () {
    const { home, version } = contest.options
    const found = refusal.version ?? holder?.version
    return found !== undefined && isOlder(found, version)
      ? yield* force(contest, holder, "is of an older version that can't be asked to end")
      : yield* refuse(home, `refuses to answer (status ${refusal.status})`)
  })

/** One that is silent because it has only just begun is left alone. */
const replaceSilent = (contest: Takeover, holder: Holder): Attempt =>
  Effect.gen(function* () {
    if (holder !== null && DaemonLock.isAlive(holder)) {
      const startedAt = Option.map(DateTime.make(holder.startedAt), DateTime.toEpochMillis)
      const age = (yield* Clock.currentTimeMillis) - Option.getOrElse(startedAt, () => 0)
      const startup = Duration.toMillis(durationOf(contest.options.startupTimeout, "30 seconds"))
      if (age >= 0 && age < startup) return { _tag: "Starting", identity: holder } satisfies Outcome as Outcome
    }
    return yield* force(contest, holder, "does not answer")
  })

const takeOver = (contest: Takeover): Attempt =>
  Effect.gen(function* () {
    // Known before it is asked, so that whoever takes its place afterwards is told from it.
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
 * Takes the lock of a home until the scope ends, or says who stays instead. It takes up to `patience` where the holder is
 * silent, then `grace` and `ending` where it has to be ended.
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
