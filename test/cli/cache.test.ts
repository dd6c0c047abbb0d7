/**
 * The cache that processes share before a Postgres server, and the command that looks after it.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { inject } from "vitest"
import * as Cli from "../utils/Cli.ts"
import * as Postgres from "../utils/Postgres.ts"

const setup = Effect.gen(function* () {
  const scratch = yield* Cli.scratch
  const { host, password, port, username } = inject("postgres")
  const database = yield* Postgres.createDatabase
  const env = {
    ...scratch.env,
    ATHENA_DATABASE_URL: `postgres://${username}:${password}@${host}:${port}/${database}`,
    ATHENA_CACHE: "true"
  }
  const file = path.join(scratch.home, "cache.db")
  const run = (...args: ReadonlyArray<string>) => Cli.run(args, { env, cwd: scratch.project })
  const json = (...args: ReadonlyArray<string>) =>
    Effect.map(run(...args, "--json"), (result): any => {
      assert.strictEqual(result.code, 0, result.stderr)
      return JSON.parse(result.stdout)
    })
  const start = (session: string) =>
    Cli.run(["hook"], {
      env,
      input: Cli.event(scratch.project, "SessionStart", { session_id: session, source: "startup" })
    })
  return { ...scratch, env, file, run, json, start }
})

describe("athena with a shared cache", () => {
  it.live("returns the same results as without a cache, across processes", () =>
    Effect.gen(function* () {
      const { file, json, run, start } = yield* setup
      yield* json("goals", "add", "Ship 1.0")
      const first = yield* start("s-1")
      assert.include(first.stdout, "Ship 1.0")
      assert.strictEqual(first.stderr, "")
      const { store } = yield* json("cache", "stats")
      assert.isAbove(store.entries, 0)
      assert.strictEqual(store.announcements, 0)
      assert.strictEqual(fs.statSync(file).mode & 0o777, 0o600)
      // What one process writes, the next one sees.
      yield* json("remember", "The retry worker needs a lock")
      assert.strictEqual((yield* json("search", "retry")).found, 1)
      yield* json("remember", "The retry worker has a lock now")
      assert.strictEqual((yield* json("search", "retry")).found, 2)
      const second = yield* start("s-2")
      assert.include(second.stdout, "has a lock now")
      assert.include((yield* run("cache", "stats")).stdout, "results")
    })
  )

  it.live("clears and warms", () =>
    Effect.gen(function* () {
      const { file, json, start } = yield* setup
      yield* json("goals", "add", "Ship 1.0")
      yield* json("cache", "clear")
      assert.strictEqual((yield* json("cache", "stats")).store.entries, 0)
      assert.strictEqual((yield* json("cache", "warm")).project, "shop")
      const entries = () => {
        const db = new DatabaseSync(file)
        const rows = db.prepare("SELECT query, stored_at FROM entry ORDER BY query").all()
        db.close()
        return rows.map((row) => ({ ...row }))
      }
      const warmed = entries()
      assert.deepStrictEqual(
        warmed.map((row) => row["query"]),
        ["memory.activeMemories", "memory.goals"]
      )
      // The session that begins takes what is there.
      assert.include((yield* start("s-1")).stdout, "Ship 1.0")
      assert.deepInclude(
        entries(),
        warmed.find((row) => row["query"] === "memory.goals")
      )
    })
  )

  it.live("returns results if the file is a folder, locked or damaged", () =>
    Effect.gen(function* () {
      const { file, home, json, start } = yield* setup
      yield* json("goals", "add", "Ship 1.0")
      for (const suffix of ["", "-wal", "-shm"]) fs.rmSync(`${file}${suffix}`, { force: true })
      fs.mkdirSync(file)
      const inTheWay = yield* start("s-1")
      assert.include(inTheWay.stdout, "Ship 1.0")
      assert.strictEqual(inTheWay.stderr, "")
      fs.rmdirSync(file)
      yield* start("s-2")
      const lock = new DatabaseSync(file)
      lock.exec("BEGIN IMMEDIATE")
      assert.include((yield* start("s-3")).stdout, "Ship 1.0")
      lock.exec("ROLLBACK")
      lock.close()
      for (const suffix of ["-wal", "-shm"]) fs.rmSync(`${file}${suffix}`, { force: true })
      fs.writeFileSync(file, "this is no database, and long enough to be looked at as one".repeat(100))
      assert.include((yield* start("s-4")).stdout, "Ship 1.0")
      assert.isTrue(fs.readdirSync(home).some((name) => name.startsWith("cache.db.damaged-")))
    })
  )

  it.live("reports that no cache is used", () =>
    Effect.gen(function* () {
      const { env, project } = yield* Cli.scratch
      for (const name of ["stats", "clear", "warm"]) {
        const result = yield* Cli.run(["cache", name], { env, cwd: project })
        assert.strictEqual(result.code, 0)
        assert.include(result.stdout, "the cache is disabled")
      }
    })
  )
})
