/**
 * Derives facts from recorded events: session by session, in short steps, from the last consolidated event on.
 *
 * A session is observed as a whole whenever it has new events, and its part in the evidence of a fact is replaced, so
 * that repeating a step changes nothing. One process of all that share a database consolidates at a time, by a lease.
 *
 * **When to use**: in the background of a long-running process (`run`), or on request (`consolidate`). Never in a hook.
 *
 * **Gotchas**: a rebuild deletes derived facts with their counts of use; facts that a user ended stay ended.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as SqlClient from "effect/sql/SqlClient"
import { retryWhileLocked } from "../internal/lockRetry.ts"
import { randomId } from "../internal/randomId.ts"
import type { QueryError } from "../query/Query.ts"
import { QueryExecutor } from "../query/QueryExecutor.ts"
import * as CommandFacts from "./facts/CommandFacts.ts"
import type { Observation } from "./facts/Fact.ts"
import * as PreferenceFacts from "./facts/PreferenceFacts.ts"
import * as SessionDigest from "./facts/SessionDigest.ts"
import type { SessionEvent } from "./facts/SessionEvent.ts"
import * as SummaryFacts from "./facts/SummaryFacts.ts"
import * as Rows from "./internal/rows.ts"
import * as SessionEvents from "./internal/sessionEvents.ts"
import * as Facts from "./queries/Facts.ts"

/**
 * The version of the rules. Facts of another version are derived again.
 *
 * @category constants
 * @since 0.1.0
 */
export const rulesVersion = 1

/** The events whose sessions are consolidated between two saves of the progress. */
const batchSize = 2_000

/** The newest events of a session that the rules read. */
const maxSessionEvents = 5_000

/**
 * The last events of the previous run are read again: on Postgres, a transaction may commit a lower id after a higher
 * one was read.
 */
const overlap = 200

/** Renewed with each batch. A process that dies releases it after this time. */
const leaseTime = Duration.minutes(2)

/** The rest after a step, as a multiple of its duration. */
const restPerWork = 1

const digestOf = (events: ReadonlyArray<SessionEvent>): ReadonlyArray<Observation> => {
  const digest = SessionDigest.make(events)
  if (digest === undefined || digest.value === 0) return []
  const { answer, end, prompts, sessionId, start, unfinished } = digest
  return [
    {
      kind: "digest",
      subject: sessionId.slice(0, 200),
      text: [
        ...prompts.map(({ text }) => text),
        ...(unfinished === null ? [] : [`unfinished: ${unfinished.text}`])
      ].join(" | "),
      source: "derived",
      evidence: {
        sessionId,
        ids: [...prompts, answer, unfinished].flatMap((part) => (part === null ? [] : [part.id])),
        from: start,
        at: end,
        digest
      }
    }
  ]
}

/**
 * The observations of all rules for the events of one session, oldest first.
 *
 * @category combinators
 * @since 0.1.0
 */
export const observe = (events: ReadonlyArray<SessionEvent>): ReadonlyArray<Observation> => [
  ...PreferenceFacts.observe(events),
  ...CommandFacts.observe(events),
  ...SummaryFacts.observe(events),
  ...digestOf(events)
]

/**
 * The extent of a consolidation.
 *
 * @category models
 * @since 0.1.0
 */
export interface Consolidated {
  readonly sessions: number
  readonly observations: number
  /** `false` if another process consolidates; then nothing was done. */
  readonly isOwner: boolean
}

interface SessionKey {
  readonly projectId: number
  readonly sessionId: string
}

/** The sessions of the next events, and the last of these. Notes belong to no session's work. */
const nextBatch = (after: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* retryWhileLocked(sql<SessionKey & { readonly id: number; readonly type: string }>`
      SELECT ${Rows.integer(sql, "id")} AS id, project_id AS "projectId", session_id AS "sessionId", event_type AS type
      FROM episodic_events WHERE id > ${after} ORDER BY id LIMIT ${batchSize}`)
    const sessions = new Map<string, SessionKey>()
    for (const { projectId, sessionId, type } of rows) {
      if (type !== "note") sessions.set(`${projectId} ${sessionId}`, { projectId, sessionId })
    }
    return { sessions: [...sessions.values()], last: rows.at(-1)?.id, isEnd: rows.length < batchSize }
  })

/** Observes one session, applies the result, and rests. */
const consolidateSession = ({ projectId, sessionId }: SessionKey) =>
  Effect.gen(function* () {
    const executor = yield* QueryExecutor
    const sql = yield* SqlClient.SqlClient
    const [took, observations] = yield* Effect.timed(
      Effect.gen(function* () {
        const events = yield* retryWhileLocked(
          SessionEvents.read(
            sql,
            sql`session_id = ${sessionId} AND project_id = ${projectId} AND event_type <> 'note'`,
            maxSessionEvents
          )
        )
        const observed = observe(events)
        if (observed.length > 0) {
          yield* executor.mutate(Facts.apply, { projectId, sessionId, observations: observed })
        }
        yield* executor.mutate(Facts.measureUse, { sessionId })
        return observed.length
      })
    )
    return { took, observations }
  })

/**
 * Consolidates all new events, and returns the extent. About 0.2 ms per event.
 *
 * @category combinators
 * @since 0.1.0
 */
export const consolidate = (
  options: {
    /** Derives all facts again. `false` when absent. */
    readonly rebuild?: boolean | undefined
    /** Whether to leave the processor to others for half of the time. `false` when absent. */
    readonly isBackground?: boolean | undefined
  } = {}
): Effect.Effect<Consolidated, QueryError, QueryExecutor | SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const executor = yield* QueryExecutor
    const owner = randomId()
    const take = (rebuild: boolean) =>
      executor.mutate(Facts.lease, {
        owner,
        milliseconds: Duration.toMillis(leaseTime),
        rulesVersion,
        rebuild
      })
    const first = yield* take(options.rebuild ?? false)
    if (first === null) return { sessions: 0, observations: 0, isOwner: false }
    let after = Math.max(0, first - overlap)
    let last = first
    let sessions = 0
    let observations = 0
    const projects = new Set<number>()
    for (;;) {
      const batch = yield* nextBatch(after)
      // Nothing is new but the events of the overlap.
      if (batch.last === undefined || batch.last <= first) break
      for (const session of batch.sessions) {
        const done = yield* consolidateSession(session)
        sessions += 1
        observations += done.observations
        projects.add(session.projectId)
        yield* options.isBackground === true ? Effect.sleep(Duration.times(done.took, restPerWork)) : Effect.yieldNow
      }
      after = batch.last
      last = batch.last
      for (const projectId of projects) yield* executor.mutate(Facts.prune, { projectId })
      projects.clear()
      yield* executor.mutate(Facts.saveProgress, { owner, lastEventId: last, isDone: false })
      if (batch.isEnd || (yield* take(false)) === null) break
    }
    yield* executor.mutate(Facts.saveProgress, { owner, lastEventId: last, isDone: true })
    return { sessions, observations, isOwner: true }
  }).pipe(Effect.withSpan("Consolidation.consolidate"))

/** How often the job checks whether the process is idle. */
const checkInterval = Duration.minutes(1)

/** A busy process consolidates after this time. */
const maxDelay = Duration.minutes(10)

/**
 * Consolidates in the background, forever: each minute while the process is idle, and at most every 10 minutes while it
 * is not. A failure is logged and tried again with the next check.
 *
 * @category combinators
 * @since 0.1.0
 */
export const run = (isIdle: Effect.Effect<boolean>): Effect.Effect<never, never, QueryExecutor | SqlClient.SqlClient> =>
  Effect.gen(function* () {
    let next = (yield* Clock.currentTimeMillis) + Duration.toMillis(maxDelay)
    const check = Effect.gen(function* () {
      if (!(yield* isIdle) && (yield* Clock.currentTimeMillis) < next) return
      const done = yield* consolidate({ isBackground: true })
      if (done.observations > 0) yield* Effect.logInfo("consolidated the memory").pipe(Effect.annotateLogs({ ...done }))
      next = (yield* Clock.currentTimeMillis) + Duration.toMillis(maxDelay)
    }).pipe(
      Effect.sandbox,
      Effect.catch((cause) => Effect.logWarning("the memory could not be consolidated", cause)),
      Effect.annotateLogs({ module: "Consolidation" })
    )
    return yield* Effect.repeat(Effect.delay(check, checkInterval), Schedule.forever).pipe(Effect.andThen(Effect.never))
  })
