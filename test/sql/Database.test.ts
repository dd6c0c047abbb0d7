import * as fs from "node:fs"
import * as path from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { inject } from "vitest"
import * as ConnectionPool from "../../src/pool/ConnectionPool.ts"
import * as Database from "../../src/sql/Database.ts"
import * as FaultProxy from "../utils/FaultProxy.ts"
import * as TempFolder from "../utils/TempFolder.ts"

const settings = (env: Readonly<Record<string, string>>) =>
  Database.settings.pipe(
    Effect.provide(Layer.merge(NodeServices.layer, ConfigProvider.layer(ConfigProvider.fromUnknown(env))))
  )

const url = (env: Readonly<Record<string, string>>) =>
  Effect.map(settings(env), (found) => (found._tag === "Postgres" ? Redacted.value(found.url) : found.home))

const reasonOf = (error: SqlError) => Option.getOrThrow(ConnectionPool.fromSqlError(error)).reason._tag

const identity = (text: string) => Database.identity({ _tag: "Postgres", url: Redacted.make(text) })

const targetOf = (text: string) => Database.poolOptions({ _tag: "Postgres", url: Redacted.make(text) }).target

describe("Database", () => {
  it.effect("selects the embedded database in ATHENA_HOME, else in the user's folder", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* settings({ ATHENA_HOME: "/data/a", HOME: "/home/me" }), {
        _tag: "Embedded",
        home: "/data/a"
      })
      assert.include((yield* Effect.flip(settings({ ATHENA_HOME: "relative" }))).message, "absolute path")
      assert.strictEqual(yield* url({ HOME: "/home/me" }), "/home/me/.athena")
      assert.strictEqual(yield* url({ ATHENA_HOME: "", USERPROFILE: "/users/me" }), "/users/me/.athena")
      assert.include((yield* Effect.flip(settings({}))).message, "ATHENA_HOME")
    })
  )

  it.effect("selects Postgres for a URL or a host, the URL first", () =>
    Effect.gen(function* () {
      const given = "postgres://me:pw@db:6543/memory"
      assert.strictEqual(yield* url({ ATHENA_DATABASE_URL: given, ATHENA_POSTGRES_HOST: "other" }), given)
      assert.strictEqual(
        yield* url({ ATHENA_POSTGRES_HOST: "db", HOME: "/home/me" }),
        "postgres://postgres:postgres@db:5432/athena"
      )
      assert.strictEqual(
        yield* url({
          ATHENA_POSTGRES_HOST: "10.0.0.1",
          ATHENA_POSTGRES_PORT: "6543",
          ATHENA_POSTGRES_DB: "m/n",
          ATHENA_POSTGRES_USER: "me",
          ATHENA_POSTGRES_PASSWORD: "p@ss:w/rd"
        }),
        "postgres://me:p%40ss%3Aw%2Frd@10.0.0.1:6543/m%2Fn"
      )
    })
  )

  it.effect("accepts a socket folder, libpq URLs, white space and quotes", () =>
    Effect.gen(function* () {
      assert.strictEqual(
        yield* url({ ATHENA_POSTGRES_HOST: "/var/run/postgresql", ATHENA_POSTGRES_DB: "m" }),
        "postgres://postgres:postgres@/m?host=%2Fvar%2Frun%2Fpostgresql&port=5432"
      )
      const socket = "postgresql://me@/m?host=/var/run/postgresql"
      for (const written of [socket, ` ${socket}\n`, `"${socket}"`, `'${socket} '`]) {
        assert.strictEqual(yield* url({ ATHENA_DATABASE_URL: written }), socket)
      }
      assert.strictEqual(yield* url({ ATHENA_DATABASE_URL: ' "" ', HOME: "/home/me" }), "/home/me/.athena")
      const pooled = yield* settings({
        ATHENA_DATABASE_URL: "postgres://me@pooler/m",
        ATHENA_DATABASE_DIRECT_URL: "postgres://me@db/m"
      })
      assert.strictEqual(
        pooled._tag === "Postgres" && pooled.directUrl && Redacted.value(pooled.directUrl),
        "postgres://me@db/m"
      )
    })
  )

  it("derives one identity from equivalent URLs", () => {
    assert.deepStrictEqual(identity("postgres://me:pw@DB/m"), { server: "db:5432/m", user: "me" })
    assert.deepStrictEqual(identity("postgresql://you@db:5432/m?sslmode=require").server, "db:5432/m")
    assert.deepStrictEqual(identity("postgres://me@/m?host=/tmp&port=6000").server, "/tmp:6000/m")
    assert.deepStrictEqual(identity("postgres://a,[::1]:7/m%2Fn").server, "a:5432,[::1]:7/m%2Fn")
  })

  it("prefers a primary unless the URL has target_session_attrs", () => {
    assert.strictEqual(targetOf("postgres://db/m"), "preferPrimary")
    assert.strictEqual(targetOf("postgres://db/m?target_session_attrs=any"), "any")
  })

  it.effect("names an invalid variable without its value", () =>
    Effect.gen(function* () {
      for (const [env, named] of [
        [{ ATHENA_DATABASE_URL: "mysql://me:hunter2@db/x" }, "ATHENA_DATABASE_URL"],
        [{ ATHENA_DATABASE_URL: "postgres://me:hunter2@[db/x" }, "ATHENA_DATABASE_URL"],
        [{ ATHENA_DATABASE_URL: "postgres://me:hunter2%@db/x" }, "%25"],
        [
          { ATHENA_DATABASE_URL: "postgres://me@db/x", ATHENA_DATABASE_DIRECT_URL: "hunter2" },
          "ATHENA_DATABASE_DIRECT_URL"
        ],
        [{ ATHENA_POSTGRES_HOST: "hunter2 /?", ATHENA_POSTGRES_PORT: "5432" }, "ATHENA_POSTGRES_HOST"],
        [{ ATHENA_POSTGRES_HOST: "db", ATHENA_POSTGRES_PORT: "abc" }, "ATHENA_POSTGRES_PORT"]
      ] as const) {
        const error = yield* Effect.flip(settings(env))
        assert.include(error.message, named)
        assert.notInclude(error.message, "hunter2")
      }
    })
  )

  it.live("creates the folder of the embedded database with mode 700", () =>
    Effect.gen(function* () {
      const home = path.join(yield* TempFolder.make, "deep", "home")
      const [rows, stats] = yield* Effect.all([
        SqlClient.SqlClient.use((sql) => sql`SELECT 1 AS one`),
        Database.Database.use((database) => database.poolStats)
      ]).pipe(Effect.provide(Database.layer({ _tag: "Embedded", home }).pipe(Layer.provide(NodeServices.layer))))
      assert.isTrue(Option.isNone(stats))
      assert.strictEqual(rows.length, 1)
      assert.strictEqual(fs.statSync(home).mode & 0o777, 0o700)
      assert.isTrue(fs.existsSync(path.join(home, Database.filename)))
    })
  )

  it.effect("refuses a timeout too short for Postgres", () =>
    Effect.gen(function* () {
      const url = Redacted.make("postgres://me@db/x")
      const database = Database.layer({ _tag: "Postgres", url }, { timeout: "49 millis" })
      const built = Layer.build(database.pipe(Layer.provide(NodeServices.layer)))
      const error = Cause.squash(yield* Effect.flip(Effect.sandbox(built)))
      assert.instanceOf(error, RangeError)
      assert.include(error.message, "Database: timeout is 49 ms")
    }).pipe(Effect.scoped)
  )

  it.live("bounds each operation on Postgres by the timeout, also on a dead network", () =>
    Effect.gen(function* () {
      const { password, port, username } = inject("postgres")
      const proxy = yield* FaultProxy.make({ port })
      const url = Redacted.make(`postgres://${username}:${password}@${proxy.host}:${proxy.port}/postgres`)
      const database = Database.layer({ _tag: "Postgres", url }, { timeout: "300 millis" })
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`SELECT 1`.pipe(Effect.retry(Schedule.recurs(20)))
        const stats = yield* Database.Database.use((database) => database.poolStats)
        assert.strictEqual(Option.getOrThrow(stats).total, 1)
        yield* proxy.set({ _tag: "blackHole" })
        assert.strictEqual(reasonOf(yield* Effect.flip(sql`SELECT 2`)), "QueryTimeout")
        assert.strictEqual(reasonOf(yield* Effect.flip(sql`SELECT 3`)), "DatabaseUnavailable")
        assert.strictEqual(reasonOf(yield* Effect.flip(sql.withTransaction(sql`SELECT 4`))), "DatabaseUnavailable")
      }).pipe(Effect.provide(database.pipe(Layer.provide(NodeServices.layer))))
    }).pipe(Effect.timeoutOrElse({ duration: "20 seconds", orElse: () => Effect.die(new Error("hung")) }))
  )
})
