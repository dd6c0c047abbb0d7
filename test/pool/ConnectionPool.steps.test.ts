/**
 * Whatever happens to a caller, at whichever step of its way through the pool, its connection comes back.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { Scheduler } from "effect/Scheduler"
import { advance, type FakePool, make as setup, scoped, settle } from "../utils/FakePool.ts"
import { YieldOnce } from "../utils/YieldOnce.ts"

const callers: ReadonlyArray<readonly [string, (pool: FakePool) => Effect.Effect<unknown, unknown>]> = [
  ["a statement", ({ run }) => run("sleep 0")],
  [
    "a statement behind a ping",
    ({ core, run }) => {
      for (const connection of core.sessions) connection.lastResponseAt -= 1_000
      return run("sleep 0")
    }
  ],
  ["a transaction", ({ run, sql }) => sql.withTransaction(run("inside"))],
  ["a reservation", ({ sql }) => Effect.scoped(sql.reserve)],
  ["a statement that disturbs its session", ({ run }) => run("SET a = 1")]
]

const events: ReadonlyArray<
  readonly [string, (pool: FakePool, caller: Fiber.Fiber<unknown, unknown> | undefined) => void]
> = [
  ["is interrupted", (_, caller) => caller!.interruptUnsafe()],
  ["runs out of time", ({ core }) => core.waiting.forEach((request) => request.expire())],
  ["loses its session", ({ database }) => database.openSessions().forEach((session) => session.kill())],
  ["is turned away", ({ core }) => core.waiting.forEach((request) => request.fail(core.errors.closed()))]
]

/** The counters of the pool and its sessions; all zero without callers. */
const leftOn = ({ core, database }: FakePool): ReadonlyArray<string> => {
  const connections = Array.from(core.sessions)
  const counted: ReadonlyArray<readonly [string, boolean]> = [
    ["usage", core.pool.state.usage !== 0],
    ["waiting", core.waiting.size > 0],
    ["leases", connections.some(({ leases }) => leases !== 0)],
    ["pings", connections.some(({ validations: pings }) => pings !== 0)],
    ["waitedFor", connections.some(({ pendingCallers: waitedFor }) => waitedFor !== 0)],
    ["claimed", connections.some(({ isReserved: claimed }) => claimed)],
    ["holders", connections.some(({ holders }) => holders.unreported.length > 0)],
    ["transaction", connections.some(({ inTransaction }) => inTransaction)],
    ["violations", database.violations.length > 0]
  ]
  return counted.flatMap(([name, left]) => (left ? [name] : []))
}

/** More than the longest way has. */
const stepsMax = 300

for (const multiplex of [false, true]) {
  for (const [event, happen] of events) {
    for (const [name, ask] of callers) {
      it.effect(`${name} that ${event} at any step leaves nothing behind, multiplex ${multiplex}`, () =>
        Effect.gen(function* () {
          const left: Array<string> = []
          const one = (step: number) =>
            Effect.gen(function* () {
              const pool = yield* setup({ multiplex, minConnections: 1, maxConnections: 1, drainTimeout: 0 })
              yield* settle
              let caller: Fiber.Fiber<unknown, unknown> | undefined
              const scheduler = new YieldOnce(step, () => happen(pool, caller))
              caller = yield* Effect.forkChild(Effect.provideService(Effect.exit(ask(pool)), Scheduler, scheduler))
              yield* settle
              yield* advance(2_000)
              const found = [...leftOn(pool), ...(caller.pollUnsafe() === undefined ? ["caller"] : [])]
              const next = yield* Effect.forkChild(Effect.exit(pool.sql.withTransaction(pool.run("after"))))
              yield* advance(10)
              if (next.pollUnsafe()?._tag !== "Success") found.push("next")
              if (found.length > 0) left.push(`step ${step}: ${found.join(", ")}`)
              return scheduler.hit
            })
          let step = 0
          while (step < stepsMax && (yield* scoped(one(step)))) step++
          assert.deepStrictEqual(left, [])
          assert.isBelow(step, stepsMax, "there are more steps than were tried")
        })
      )
    }
  }
}
