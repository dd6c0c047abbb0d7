/**
 * A process that records events, writes down each one that was acknowledged after it was, and is killed: by itself at a
 * given failpoint, or by its parent.
 *
 * Argument: JSON, see `Orders`.
 */
import * as fs from "node:fs"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { Ack } from "../../src/events/EventRecorder.ts"
import { type Failpoint, Failpoints } from "../../src/events/internal/failpoints.ts"
import * as Generator from "../utils/Generator.ts"
import * as Kit from "./RecorderKit.ts"

export interface Orders {
  readonly folder: string
  /** Sets this process apart from all others. */
  readonly name: string
  readonly seed: number
  /** Where it ends, and at which time it gets there; nowhere by itself where there is none. */
  readonly failpoint: Failpoint | undefined
  readonly occurrence: number
  readonly postgres:
    | {
        readonly host: string
        readonly port: number
        readonly username: string
        readonly password: string
        readonly database: string
      }
    | undefined
}

export const database = ({ folder, postgres }: Orders): Layer.Layer<SqlClient, SqlError> =>
  postgres === undefined
    ? Kit.database(folder)
    : PgClient.layer({ ...postgres, password: Redacted.make(postgres.password), maxConnections: 2 })

/** Written to the file system before the next event: `+` for an acknowledged one. */
const log = (file: number, line: string): void => {
  fs.writeSync(file, `${line}\n`)
}

const main = (orders: Orders): void => {
  const random = Generator.make(orders.seed)
  const file = fs.openSync(`${orders.folder}/${orders.name}.log`, "a")
  let passed = 0
  const failpoint = (at: Failpoint): void => {
    if (at === orders.failpoint && ++passed === orders.occurrence) process.kill(process.pid, "SIGKILL")
  }
  const acks: ReadonlyArray<Ack> = ["accepted", "spooled", "spooled", "spooled", "committed"]

  /** Alternating sessions, several concurrently, so that groups and batches form. */
  const session = (name: string) =>
    Effect.gen(function* () {
      const recorder = yield* Kit.Ticks
      for (let n = 1; n < 400; n++) {
        const ack = acks[random.int(acks.length)]!
        const rejected = random.chance(0.02)
        const tick = { ...Kit.tick(n, name), n: rejected ? -n : n, note: "x".repeat(random.int(50)) }
        log(file, `? ${tick.id}`)
        const done = yield* Effect.match(recorder.record(tick, { ack }), {
          onSuccess: () => true,
          // The event is in the table of the dead ones, which is as good.
          onFailure: (error) => error.reason._tag === "EventRejected"
        })
        if (done && ack !== "accepted") log(file, `+ ${tick.id}`)
      }
    })

  const program = Effect.gen(function* () {
    process.stdout.write("ready\n")
    yield* Effect.forEach([1, 2, 3, 4], (n) => session(`${orders.name}-${n}`), { concurrency: 4, discard: true })
  }).pipe(
    Effect.provide(
      Kit.recorder(orders.folder, {
        batchSize: 10,
        maxBatchSize: 40,
        interval: "20 millis",
        lease: "100 millis",
        deadline: "10 seconds"
      }).pipe(Layer.provide(database(orders)))
    ),
    Effect.provideService(Failpoints, failpoint)
  )
  void Effect.runPromise(program).then(
    () => process.exit(0),
    (error: unknown) => {
      process.stderr.write(`${String(error)}\n`)
      process.exit(1)
    }
  )
}

if (process.argv[2] !== undefined) main(JSON.parse(process.argv[2]) as Orders)
