/**
 * A pool over sessions that only exist here, on virtual time.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Reactivity from "effect/reactivity/Reactivity"
import type * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import * as TestClock from "effect/testing/TestClock"
import * as ConnectionPool from "../../src/pool/ConnectionPool.ts"
import * as PgPoolClient from "../../src/pool/internal/pgClient.ts"
import * as PoolLifecycle from "../../src/pool/internal/poolLifecycle.ts"
import * as PoolSettings from "../../src/pool/internal/poolSettings.ts"
import * as FakeSessions from "./FakeSessions.ts"

export type Options = Partial<ConnectionPool.ConnectionPoolOptions>

export const make = (options: Options = {}, database = FakeSessions.make({ multiplex: options.multiplex })) =>
  Effect.gen(function* () {
    const settings = PoolSettings.resolve({ host: "fake", ...options })
    const core = yield* PoolLifecycle.make(settings, database.connector)
    const sql = yield* PgPoolClient.make(core, { username: "fake" })
    return { database, core, sql, stats: () => core.stats(), run: (text: string) => sql.unsafe(text) }
  })

export type FakePool = Effect.Success<ReturnType<typeof make>>

export const scoped = <A, E>(effect: Effect.Effect<A, E, Scope.Scope | Reactivity.Reactivity>) =>
  Effect.scoped(effect).pipe(Effect.provide(Reactivity.layer))

/** The reason of the pool's error. */
export const reasonOf = (error: unknown) => Option.getOrThrow(ConnectionPool.fromSqlError(error as SqlError)).reason

/** Runs all fibers as far as possible without time. */
export const settle = TestClock.adjust(0).pipe(Effect.andThen(Effect.yieldNow), Effect.repeat({ times: 20 }))

export const advance = (ms: number) => TestClock.adjust(ms).pipe(Effect.andThen(settle))
