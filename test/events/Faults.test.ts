/**
 * The database is away in every way it can be: events are acknowledged all the same, and arrive once when it is back.
 */
import { assert, describe, it } from "@effect/vitest"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { inject } from "vitest"
import type * as EventRecorder from "../../src/events/EventRecorder.ts"
import * as ConnectionPool from "../../src/pool/ConnectionPool.ts"
import * as FaultProxy from "../utils/FaultProxy.ts"
import * as Generator from "../utils/Generator.ts"
import * as Postgres from "../utils/Postgres.ts"
import * as PrivatePostgres from "../utils/PrivatePostgres.ts"
import * as TempFolder from "../utils/TempFolder.ts"
import * as Kit from "./RecorderKit.ts"

interface Address {
  readonly host: string
  readonly port: number
  readonly username: string
  readonly password: string
  readonly database: string
}

const pooled = ({ password, ...address }: Address) =>
  ConnectionPool.layer({
    ...address,
    password: Redacted.make(password),
    deadline: "500 millis",
    acquireTimeout: "500 millis",
    connectTimeout: "400 millis",
    breakerResetTimeout: "50 millis",
    drainTimeout: "100 millis"
  })

const plain = ({ password, ...address }: Address) =>
  PgClient.layer({ ...address, password: Redacted.make(password), maxConnections: 2 })

const options: Partial<EventRecorder.SpoolOptions> = {
  batchSize: 20,
  maxBatchSize: 50,
  interval: "20 millis",
  deliverTimeout: "700 millis",
  deadline: "15 seconds",
  shutdownTimeout: "1 second"
}

const recorderOn = (folder: string, database: Layer.Layer<SqlClient, SqlError>) =>
  Effect.map(Layer.build(Kit.recorder(folder, options).pipe(Layer.provide(database))), (context) =>
    Context.get(context, Kit.Ticks)
  )

/** Retries until the database accepts the rest. */
const flushed = (recorder: EventRecorder.EventRecorder<Kit.Tick>) =>
  recorder
    .flush({ timeout: "15 seconds" })
    .pipe(Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.upTo({ duration: "20 seconds" }))), Effect.orDie)

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index)

describe("an unavailable database", () => {
  for (const [name, client] of Object.entries({ pooled, plain })) {
    it.live(
      `behind a network that refuses, swallows, resets and stalls, ${name}: nothing is lost and nothing comes twice`,
      () =>
        Effect.gen(function* () {
          yield* Kit.reset
          const seed = Number(process.env["ATHENA_TEST_SEED"] ?? Math.floor(performance.timeOrigin) % 1_000_000)
          yield* Effect.log(`seed ${seed}`)
          const random = Generator.make(seed)
          const server = inject("postgres")
          const database = yield* Postgres.createDatabase
          yield* Effect.provide(Kit.table, Postgres.layerDatabase(database))
          const proxy = yield* FaultProxy.make(server)
          const folder = yield* TempFolder.make
          const recorder = yield* recorderOn(
            folder,
            client({ ...server, host: proxy.host, port: proxy.port, database })
          )
          const faults: ReadonlyArray<FaultProxy.Fault> = [
            { _tag: "refuse" },
            { _tag: "blackHole" },
            { _tag: "reset" },
            { _tag: "halfOpen" },
            { _tag: "bandwidth", bytesPerSecond: 4_000 },
            { _tag: "pass" }
          ]
          let n = 0
          for (let round = 0; round < 10; round++) {
            yield* proxy.set(faults[random.int(faults.length)]!)
            for (let group = 0; group < 5; group++, n += 20) {
              yield* recorder.recordAll(numbers(n, n + 20).map((n) => Kit.tick(n)))
              yield* Effect.sleep(random.int(60))
            }
          }
          yield* proxy.set({ _tag: "pass" })
          const { left } = yield* flushed(recorder)
          const stats = yield* recorder.stats
          assert.deepStrictEqual([left, stats.deadLetters, stats.dropped], [0, 0, 0])
          const stored = yield* Effect.provide(Kit.storedNumbers, Postgres.layerDatabase(database))
          assert.deepStrictEqual(stored, numbers(0, n))
        }).pipe(Effect.scoped),
      { timeout: 60_000 }
    )
  }

  it.live(
    "because it restarts in the middle of a batch, and freezes: the same",
    () =>
      Effect.gen(function* () {
        yield* Kit.reset
        const server = yield* PrivatePostgres.make()
        yield* server.start
        const address = { ...server, database: "postgres" }
        yield* Effect.provide(Kit.table, plain(address))
        const folder = yield* TempFolder.make
        const recorder = yield* recorderOn(folder, pooled(address))
        let n = 0
        const record = Effect.suspend(() =>
          recorder
            .recordAll(numbers(n, (n += 25)).map((n) => Kit.tick(n)))
            .pipe(Effect.andThen(Effect.sleep("5 millis")))
        )
        for (let round = 0; round < 2; round++) {
          yield* Effect.repeat(record, Schedule.recurs(10))
          // The batch that is under way never hears how it ended.
          Kit.control.before = () => Effect.sleep("100 millis")
          yield* record
          yield* round === 0 ? server.stop : server.freeze
          Kit.control.before = () => Effect.void
          yield* Effect.repeat(record, Schedule.recurs(10))
          yield* Effect.sleep("600 millis")
          yield* round === 0 ? server.start : server.thaw
        }
        yield* Effect.repeat(record, Schedule.recurs(3))
        assert.strictEqual((yield* flushed(recorder)).left, 0)
        assert.strictEqual((yield* recorder.stats).deadLetters, 0)
        assert.deepStrictEqual(yield* Effect.provide(Kit.storedNumbers, plain(address)), numbers(0, n))
      }).pipe(Effect.scoped),
    { timeout: 90_000 }
  )

  it.live("rejects no event if its table or a privilege is missing", () =>
    Effect.gen(function* () {
      yield* Kit.reset
      const server = inject("postgres")
      const database = yield* Postgres.createDatabase
      const folder = yield* TempFolder.make
      const recorder = yield* recorderOn(folder, pooled({ ...server, database }))
      yield* recorder.recordAll([Kit.tick(1), Kit.tick(-2), Kit.tick(3)])
      const error = yield* Effect.flip(recorder.flush())
      assert.include(error.message, "SqlSyntaxError 42P01")
      assert.deepStrictEqual([(yield* recorder.stats).spooled, (yield* recorder.stats).deadLetters], [3, 0])
      yield* Effect.provide(Kit.table, Postgres.layerDatabase(database))
      yield* flushed(recorder)
      assert.deepStrictEqual(yield* Effect.provide(Kit.storedNumbers, Postgres.layerDatabase(database)), [1, 3])
      assert.strictEqual((yield* recorder.deadLetters.list())[0]!.reason, "ConstraintError 23514")
    }).pipe(Effect.scoped)
  )
})
