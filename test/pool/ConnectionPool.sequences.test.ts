/**
 * The pool's promises after every step of generated sequences, on virtual time.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import type { SqlError } from "effect/sql/SqlError"
import * as TestClock from "effect/testing/TestClock"
import * as ConnectionPool from "../../src/pool/ConnectionPool.ts"
import { advance, make as setup, scoped, settle } from "../utils/FakePool.ts"
import * as FakeSessions from "../utils/FakeSessions.ts"

/** One step of a generated sequence, as named in a failure. */
type Step = "borrow" | "hold" | "limited" | "leave" | "kill" | "fail" | "mend" | "advance"

const steps: ReadonlyArray<Step> = [
  "borrow",
  "borrow",
  "borrow",
  "hold",
  "limited",
  "leave",
  "kill",
  "fail",
  "mend",
  "advance",
  "advance",
  "advance"
]

/** The maximum duration of an abandoned statement: the grace of a cancel or a termination, and its pauses. */
const desertedAtMostMs = 300

const seeds = Array.from({ length: 60 }, (_, index) => 1_000 + index)
const sequences = [false, true].flatMap((multiplex) => seeds.map((seed) => ({ multiplex, seed })))

it.effect.each(sequences)(
  "satisfies its invariants after every step of a generated sequence, seed $seed, multiplex $multiplex",
  ({ multiplex, seed }) =>
    scoped(
      Effect.gen(function* () {
        const min = yield* Random.nextIntBetween(0, 2)
        const max = yield* Random.nextIntBetween(Math.max(1, min), 4)
        const acquireTimeout = 500
        const { core, database, run, sql, stats } = yield* setup({
          minConnections: min,
          maxConnections: max,
          acquireTimeout,
          maxWaiters: 6,
          idleTimeout: 700,
          maxLifetime: 2_000,
          keepaliveInterval: 300,
          validationWindow: 50,
          validationTimeout: 100,
          breakerResetTimeout: 100,
          connectRetries: 1,
          // A failed check must not wait for virtual time.
          drainTimeout: 0,
          multiplex,
          multiplexConcurrency: 4
        })
        database.cancelMs = yield* Random.nextIntBetween(0, 600)
        database.answerMs = yield* Random.nextIntBetween(0, 30)
        const history: Array<string> = []
        const callers: Array<Fiber.Fiber<unknown, unknown>> = []
        let ended = 0

        const check = (step: string) => {
          history.push(step)
          const now = core.now()
          const seen = stats()
          const open = database.openSessions().filter(({ beside }) => !beside).length + database.opening
          const pings = Array.from(core.sessions).reduce((sum, connection) => sum + connection.validations, 0)
          const found = [
            ...database.violations,
            ...(open > max ? [`${open} sessions open or opening, ${max} allowed`] : []),
            ...(seen.total + seen.opening > max ? [`stats show ${seen.total} + ${seen.opening} of ${max}`] : []),
            ...(seen.waiting - pings > 6 + max ? [`${seen.waiting} waiters, ${pings} of them at a ping`] : []),
            ...database
              .desertedMs(core.clock.currentTimeMillisUnsafe())
              .filter((ms) => ms > desertedAtMostMs)
              .map((ms) => `a statement runs for nobody since ${ms} ms`),
            ...[...core.waiting]
              .filter((request) => now - request.startedAt > acquireTimeout + 5)
              .map((request) => `a waiter is ${now - request.startedAt} ms old`)
          ]
          assert.strictEqual(found.join("; "), "", `seed ${seed}: ${history.join(", ")}`)
        }

        const start = (program: Effect.Effect<unknown, SqlError>) =>
          Effect.gen(function* () {
            const caller = program.pipe(Effect.exit, Effect.ensuring(Effect.sync(() => ended++)))
            callers.push(yield* Effect.forkChild(caller))
          })

        for (let index = 0; index < 120; index++) {
          const step = steps[yield* Random.nextIntBetween(0, steps.length - 1)]!
          const ms = yield* Random.nextIntBetween(0, 200)
          switch (step) {
            case "borrow":
              yield* start(run(`sleep ${ms}`))
              break
            case "hold":
              yield* start(sql.withTransaction(Effect.andThen(run(`sleep ${ms}`), Effect.sleep(ms))))
              break
            case "limited":
              yield* start(run("sleep 400").pipe(ConnectionPool.withDeadline(ms + 1)))
              break
            case "leave":
              if (callers.length > 0) callers[ms % callers.length]!.interruptUnsafe()
              break
            case "kill": {
              const open = database.openSessions()
              if (open.length > 0) open[ms % open.length]!.kill()
              break
            }
            case "fail":
              database.refusing = FakeSessions.refused()
              break
            case "mend":
              database.refusing = undefined
              break
            case "advance":
              yield* TestClock.adjust(ms)
              break
          }
          yield* settle
          check(step === "advance" ? `advance ${ms}` : step)
        }
        database.refusing = undefined
        for (let index = 0; index < 40; index++) {
          yield* advance(50)
          check("advance 50")
        }
        assert.strictEqual(ended, callers.length, `seed ${seed}: somebody was never answered`)
        const seen = stats()
        assert.deepStrictEqual([seen.inUse, seen.waiting], [0, 0], `seed ${seed}`)
        assert.isAtLeast(seen.idle, min, `seed ${seed}`)
        assert.strictEqual(seen.total, database.openSessions().length, `seed ${seed}`)
      })
    ).pipe(Random.withSeed(seed))
)
