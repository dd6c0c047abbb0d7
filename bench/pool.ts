/**
 * The pool compared with `@effect/sql-pg`'s own, `pg` and `postgres`, on a private server. Ours runs as in production:
 * with validation, a deadline on every statement, and registered metrics.
 */
import * as net from "node:net"
import { setTimeout as delay } from "node:timers/promises"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import pg from "pg"
import postgres from "postgres"
import * as ConnectionPool from "../src/pool/ConnectionPool.ts"
import * as PostgresServer from "./PostgresServer.ts"
import * as Row from "./Row.ts"

const { database, password } = PostgresServer

const callers = 50
const maxConnections = 10

/** One way to run the measured statement. */
interface Side {
  /** Runs `total` statements from `concurrency` callers and returns the elapsed milliseconds. */
  readonly run: (total: number, concurrency: number) => Promise<number>
  readonly close: () => Promise<void>
}

const timed = async (action: () => Promise<unknown>): Promise<number> => {
  const start = performance.now()
  await action()
  return performance.now() - start
}

const byPromises = (query: (n: number) => Promise<unknown>, close: () => Promise<void>): Side => ({
  run: (total, concurrency) =>
    timed(async () => {
      let next = 0
      const caller = async () => {
        while (next < total) await query(next++)
      }
      await Promise.all(Array.from({ length: concurrency }, caller))
    }),
  close
})

const byEffect = (layer: Layer.Layer<SqlClient.SqlClient, unknown>): Side => {
  const runtime = ManagedRuntime.make(layer)
  return {
    run: (total, concurrency) =>
      runtime.runPromise(
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          let next = 0
          const caller = Effect.gen(function* () {
            while (next < total) yield* sql`SELECT ${next++}::int AS n`
          })
          const start = performance.now()
          const fibers = yield* Effect.forEach(Array.from({ length: concurrency }), () => Effect.forkChild(caller))
          yield* Effect.forEach(fibers, Fiber.join, { discard: true })
          return performance.now() - start
        })
      ),
    close: () => runtime.dispose()
  }
}

const address = (port: number) => ({ host: "127.0.0.1", port, username: "postgres", database })

const oursLayer = (port: number, options?: Partial<ConnectionPool.ConnectionPoolOptions>) =>
  ConnectionPool.layer({
    ...address(port),
    password: Redacted.make(password),
    maxConnections,
    deadline: "5 seconds",
    ...options
  })

const sides = {
  ours: (port: number, options?: Partial<ConnectionPool.ConnectionPoolOptions>) => byEffect(oursLayer(port, options)),
  sqlPg: (port: number, multiplex: boolean) =>
    byEffect(PgClient.layer({ ...address(port), password: Redacted.make(password), maxConnections, multiplex })),
  pg: (port: number) => {
    const pool = new pg.Pool({ ...address(port), user: "postgres", password, max: maxConnections })
    // Without a listener, a killed idle session ends the process.
    pool.on("error", () => {})
    return byPromises(
      (n) => pool.query({ name: "bench", text: "SELECT $1::int AS n", values: [n] }),
      () => pool.end()
    )
  },
  postgres: (port: number) => {
    const sql = postgres({ ...address(port), password, max: maxConnections })
    return byPromises(
      (n) => sql`SELECT ${n}::int AS n`,
      () => sql.end({ timeout: 1 })
    )
  }
}

const perSecond = (total: number, ms: number) => (total / ms) * 1_000

/** Statements per second of two alternating sides. */
const throughput = async (options: {
  readonly row: string
  readonly ours: Side
  readonly rival: Side
  readonly total: number
  readonly concurrency: number
  readonly target?: Row.Target
}): Promise<Row.Row> => {
  const sample = (side: Side) => async () =>
    perSecond(options.total, await side.run(options.total, options.concurrency))
  const samples = await Row.interleave({
    rounds: 9,
    warmup: 5,
    ours: sample(options.ours),
    rival: sample(options.rival)
  })
  await options.ours.close()
  await options.rival.close()
  return Row.make({ bench: "pool", row: options.row, ...samples, unit: "q/s", target: options.target })
}

/** Microseconds to acquire and release an idle connection. */
const acquireRelease = async (port: number): Promise<Row.Row> => {
  const count = 20_000
  const cycle = (layer: Layer.Layer<SqlClient.SqlClient, unknown>) => {
    const runtime = ManagedRuntime.make(layer)
    const sample = () =>
      runtime.runPromise(
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const start = performance.now()
          for (let index = 0; index < count; index++) yield* Effect.scoped(sql.reserve)
          return ((performance.now() - start) * 1_000) / count
        })
      )
    return { sample, close: () => runtime.dispose() }
  }
  const ours = cycle(oursLayer(port))
  const rival = cycle(
    PgClient.layer({ ...address(port), password: Redacted.make(password), maxConnections, multiplex: false })
  )
  const samples = await Row.interleave({ rounds: 9, warmup: 3, ours: ours.sample, rival: rival.sample })
  await ours.close()
  await rival.close()
  return Row.make({ bench: "pool", row: "acquire and release, uncontended, vs sql-pg", ...samples, unit: "us" })
}

/** Milliseconds from opening the pool to its first result and its close. */
const firstQuery = async (port: number, row: string, rival: (port: number) => Side): Promise<Row.Row> => {
  const once = (make: (port: number) => Side) => () =>
    timed(async () => {
      const side = make(port)
      await side.run(1, 1)
      await side.close()
    })
  const samples = await Row.interleave({ rounds: 15, warmup: 3, ours: once(sides.ours), rival: once(rival) })
  return Row.make({ bench: "pool", row, ...samples, unit: "ms" })
}

/** A proxy that delays connections to the server. */
const slowDoor = async (port: number, ms: number) => {
  let accepted = 0
  const server = net.createServer((client) => {
    accepted++
    client.on("error", () => {})
    client.pause()
    setTimeout(() => {
      const upstream = net.connect({ host: "127.0.0.1", port, noDelay: true })
      upstream.on("error", () => client.destroy())
      client.on("close", () => upstream.destroy())
      upstream.on("close", () => client.destroy())
      client.pipe(upstream)
      upstream.pipe(client)
    }, ms)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()))
  return {
    port: (server.address() as net.AddressInfo).port,
    accepted: () => accepted,
    close: () => new Promise<void>((resolve) => server.close(() => resolve()))
  }
}

/** Connections opened by fifty concurrent callers, with 150 ms per connect, 2 ms per query, and a limit of fifty. */
const spike = async (port: number, row: string, rival: (port: number) => Side): Promise<Row.Row> => {
  const connections = (make: (port: number) => Side) => async () => {
    const door = await slowDoor(port, 150)
    const side = make(door.port)
    await side.run(1, 1)
    await side.run(callers, callers)
    const accepted = door.accepted()
    await side.close()
    await door.close()
    return accepted
  }
  const samples = await Row.interleave({
    rounds: 3,
    warmup: 0,
    ours: connections((to) => byEffect(Layer.provide(slowQueries, oursLayer(to, { maxConnections: callers })))),
    rival: connections(rival)
  })
  return Row.make({ bench: "pool", row, ...samples, unit: "conns" })
}

/** Statements that take 2 ms in the server. */
const slowQueries = Layer.effect(
  SqlClient.SqlClient,
  Effect.map(SqlClient.SqlClient, (sql) => {
    const slow = () => sql`SELECT pg_sleep(0.002)`
    return Object.assign(slow, sql) as unknown as SqlClient.SqlClient
  })
)

const spikeSides = {
  sqlPg: (port: number) =>
    byEffect(
      Layer.provide(
        slowQueries,
        PgClient.layer({ ...address(port), password: Redacted.make(password), maxConnections: callers })
      )
    ),
  pg: (port: number) => {
    const pool = new pg.Pool({ ...address(port), user: "postgres", password, max: callers })
    pool.on("error", () => {})
    return byPromises(
      () => pool.query("SELECT pg_sleep(0.002)"),
      () => pool.end()
    )
  },
  postgres: (port: number) => {
    const sql = postgres({ ...address(port), password, max: callers })
    return byPromises(
      () => sql`SELECT pg_sleep(0.002)`,
      () => sql.end({ timeout: 1 })
    )
  }
}

/** Milliseconds after which a caller abandons a query and retries. */
const callTimeoutMs = 1_000

/** The 99th percentile of calls in milliseconds while one session per second is killed; failed calls are retried. */
const killed = async (port: number, row: string, rival: (port: number) => Side): Promise<Row.Row> => {
  const admin = new pg.Client({ ...address(port), user: "postgres", password, application_name: "killer" })
  await admin.connect()
  const p99 = (make: (port: number) => Side) => async () => {
    const side = make(port)
    await side.run(callers, callers)
    const times: Array<number> = []
    const until = performance.now() + 3_000
    const killer = setInterval(() => {
      admin
        .query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE backend_type = 'client backend' AND application_name <> 'killer' LIMIT 1`
        )
        // The last query may be in flight when its session ends.
        .catch(() => {})
    }, 1_000)
    const caller = async () => {
      while (performance.now() < until) {
        times.push(
          await timed(async () => {
            for (;;) {
              const answered = side.run(1, 1).then(
                () => true,
                () => false
              )
              // Some rivals never settle a call.
              if (await Promise.race([answered, delay(callTimeoutMs, false, { ref: false })])) return
            }
          })
        )
      }
    }
    await Promise.all(Array.from({ length: 10 }, caller))
    clearInterval(killer)
    await side.close()
    return times.toSorted((a, b) => a - b)[Math.floor(times.length * 0.99)]!
  }
  const samples = await Row.interleave({ rounds: 1, warmup: 0, ours: p99(sides.ours), rival: p99(rival) })
  await admin.end()
  return Row.make({ bench: "pool", row, ...samples, unit: "ms" })
}

export default async function* (): AsyncGenerator<Row.Row> {
  const server = await PostgresServer.start()
  const { port } = server
  try {
    yield await acquireRelease(port)
    const many = { total: 20_000, concurrency: callers }
    const multiplexed = () => sides.ours(port, { multiplex: true })
    yield await throughput({
      ...many,
      row: `${callers} callers, both multiplexed, vs sql-pg`,
      ours: multiplexed(),
      rival: sides.sqlPg(port, true),
      target: { atLeast: 1 }
    })
    yield await throughput({
      ...many,
      row: `${callers} callers, ours multiplexed, vs pg`,
      ours: multiplexed(),
      rival: sides.pg(port),
      target: { atLeast: 1.5 }
    })
    yield await throughput({
      ...many,
      row: `${callers} callers, ours multiplexed, vs postgres`,
      ours: multiplexed(),
      rival: sides.postgres(port),
      target: { atLeast: 1.5 }
    })
    yield await throughput({
      ...many,
      row: `${callers} callers, neither multiplexed, vs sql-pg`,
      ours: sides.ours(port),
      rival: sides.sqlPg(port, false)
    })
    const one = { total: 3_000, concurrency: 1 }
    for (const [name, rival] of [
      ["sql-pg", sides.sqlPg(port, false)],
      ["pg", sides.pg(port)],
      ["postgres", sides.postgres(port)]
    ] as const) {
      yield await throughput({ ...one, row: `one caller, vs ${name}`, ours: sides.ours(port), rival })
    }
    yield await firstQuery(port, "open, first query, close, vs sql-pg", (to) => sides.sqlPg(to, false))
    yield await firstQuery(port, "open, first query, close, vs pg", sides.pg)
    yield await firstQuery(port, "open, first query, close, vs postgres", sides.postgres)
    yield await spike(port, "spike: connections made, vs sql-pg", spikeSides.sqlPg)
    yield await spike(port, "spike: connections made, vs pg", spikeSides.pg)
    yield await spike(port, "spike: connections made, vs postgres", spikeSides.postgres)
    yield await killed(port, "p99 with a session killed every second, vs sql-pg", (to) => sides.sqlPg(to, false))
    yield await killed(port, "p99 with a session killed every second, vs pg", sides.pg)
    yield await killed(port, "p99 with a session killed every second, vs postgres", sides.postgres)
  } finally {
    await server.stop()
  }
}
