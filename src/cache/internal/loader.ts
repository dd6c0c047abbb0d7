/**
 * The database behind the cache, asked once at a time for a result: by one fiber of a process, and where it takes
 * long by one process of a host.
 */
import * as Effect from "effect/Effect"
import { SqlError, StatementTimeoutError } from "effect/sql/SqlError"
import type { QueryError } from "../../query/Query.ts"
import type { QueryExecutor } from "../../query/QueryExecutor.ts"
import * as Plan from "./cachedQuery.ts"
import * as Time from "./time.ts"

const tooSlow = (name: string): SqlError =>
  new SqlError({
    reason: new StatementTimeoutError({
      cause: new Error("over the hard limit of the cache"),
      message: `${name} took longer than its hard limit`,
      operation: "query"
    })
  })

/** The weight of the latest load in the average. */
const latest = 0.25

/** Ends what is over the hard limit of a query. */
export const limited = <A>(
  plan: Plan.CachedQuery<any, any>,
  effect: Effect.Effect<A, QueryError>
): Effect.Effect<A, QueryError> =>
  plan.hardMs === Plan.unlimited
    ? effect
    : Effect.timeoutOrElse(effect, {
        duration: plan.hardMs,
        orElse: () =>
          Effect.suspend(() => {
            plan.counters.loadFailures++
            return Effect.fail(tooSlow(plan.name))
          })
      })

/** Loads, counts and times. */
export const load = <I, A>(
  executor: QueryExecutor["Service"],
  { input, plan, query }: Plan.CacheRequest<I, A>
): Effect.Effect<A, QueryError> =>
  Effect.gen(function* () {
    plan.counters.loads++
    const began = yield* Time.now
    const value = yield* executor.query(query, input)
    const took = (yield* Time.now) - began
    plan.loadMs = plan.loadMs === undefined ? took : plan.loadMs * (1 - latest) + took * latest
    return value
  }).pipe(
    Effect.tapCause(() =>
      Effect.sync(() => {
        plan.counters.loadFailures++
      })
    ),
    Effect.trackDuration(plan.loadTime),
    Effect.withSpan("QueryCache.load", { attributes: { "query.name": plan.name } })
  )
