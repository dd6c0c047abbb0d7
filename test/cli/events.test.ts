/**
 * `athena events`, on a spool that another process filled.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as EventRecorder from "../../src/events/EventRecorder.ts"
import * as MemoryEvent from "../../src/memory/MemoryEvent.ts"
import * as MemoryRecorder from "../../src/memory/MemoryRecorder.ts"
import * as Cli from "../utils/Cli.ts"

const json = (result: Cli.Result): any => {
  assert.strictEqual(result.code, 0, result.stderr)
  return JSON.parse(result.stdout)
}

/** One event that the database takes, and one of a project that does not exist. */
const fill = (filename: string, project: string) =>
  Effect.gen(function* () {
    const place = { project: { path: project, name: "shop" }, worktreePath: project }
    const known = { sessionId: "s-1", type: "note" }
    const recorder = yield* MemoryRecorder.MemoryRecorder
    yield* recorder.recordAll([
      yield* MemoryRecorder.stamp(MemoryRecorder.placed({ ...known, key: "good", content: "It works", place })),
      yield* MemoryRecorder.stamp(MemoryEvent.make({ ...known, key: "bad", content: "secret", projectId: 4711 }))
    ])
  }).pipe(Effect.provide(EventRecorder.layerSpool(MemoryRecorder.MemoryRecorder, { filename })))

describe("athena events", () => {
  it.live("reports and delivers waiting events, and lists, retries and drops dead letters", () =>
    Effect.gen(function* () {
      const { env, home, project } = yield* Cli.scratch
      const events = (...args: ReadonlyArray<string>) => Cli.run(["events", ...args], { env, cwd: project })

      assert.include((yield* events("stats")).stdout, "waiting    0 events")
      yield* fill(path.join(home, "events.spool"), project)
      assert.match((yield* events("stats")).stdout, /waiting {4}2 events, the oldest for /)
      assert.deepStrictEqual(json(yield* events("flush", "--json")), { delivered: 1, deadLetters: 1, left: 0 })

      const listed = yield* events("dead")
      assert.match(listed.stdout, /^bad {2}\S+ {2}rejected: ConstraintError 787\n$/)
      assert.strictEqual(JSON.parse(json(yield* events("dead", "list", "--json"))[0].payload).key, "bad")
      assert.strictEqual(json(yield* events("dead", "retry", "bad", "--json")).retried, 1)
      assert.strictEqual(json(yield* events("flush", "--json")).deadLetters, 1)
      assert.strictEqual(json(yield* events("dead", "drop", "--json")).dropped, 0)
      assert.strictEqual(json(yield* events("dead", "drop", "--all", "--json")).dropped, 1)
      assert.strictEqual(json(yield* events("stats", "--json")).deadLetters, 0)

      assert.include((yield* Cli.run(["search", "works"], { env, cwd: project })).stdout, "It works")
    })
  )

  it.live("fails in one line and retains events if the database is unavailable", () =>
    Effect.gen(function* () {
      const { env, home, project } = yield* Cli.scratch
      const away = { ...env, ATHENA_DATABASE_URL: "postgres://127.0.0.1:1/none" }
      yield* Cli.run(["events", "stats"], { env: away })
      const spool = fs.readdirSync(home).find((name) => name.endsWith(".spool"))
      yield* fill(path.join(home, spool!), project)
      const result = yield* Cli.run(["events", "flush"], { env: away })
      assert.strictEqual(result.code, 1)
      assert.match(result.stderr, /^athena: [^\n]+\n$/)
      assert.strictEqual(json(yield* Cli.run(["events", "stats", "--json"], { env: away })).spooled, 2)
    })
  )

  it.live("reports and delivers events without a daemon", () =>
    Effect.gen(function* () {
      const { env, home, project } = yield* Cli.scratch
      const problems = Effect.map(
        Cli.run(["status", "--json"], { env, cwd: project }),
        ({ stdout }) => JSON.parse(stdout).daemon.problems as ReadonlyArray<string>
      )
      assert.deepStrictEqual(yield* problems, [])
      assert.isFalse(fs.existsSync(path.join(home, "events.spool")))
      yield* Cli.run(["events", "stats"], { env })
      yield* fill(path.join(home, "events.spool"), project)
      assert.deepStrictEqual(yield* problems, ["2 events wait on this host for the database; run: athena events flush"])
      assert.include((yield* Cli.run(["search", "works"], { env, cwd: project })).stdout, "It works")
      assert.deepStrictEqual(yield* problems, [])
    })
  )

  it.live("lists the spool of a former database and delivers it on request", () =>
    Effect.gen(function* () {
      const { env, home, project } = yield* Cli.scratch
      const wrong = { ...env, ATHENA_DATABASE_URL: "postgres://ada:secret@127.0.0.1:1/none" }
      for (const n of [1, 2]) {
        const input = Cli.event(project, "Stop", { prompt_id: `p-${n}`, last_assistant_message: `Done ${n}.` })
        yield* Cli.run(["hook"], { script: Cli.hookScript, env: wrong, input })
      }
      const [spool] = json(yield* Cli.run(["status", "--json"], { env, cwd: project })).spools
      assert.deepInclude(spool, {
        database: "127.0.0.1:1/none",
        current: false,
        waiting: 2,
        deadLetters: 0,
        problem: null
      })
      const status = (yield* Cli.run(["status"], { env, cwd: project })).stdout
      assert.match(status, /waiting .*: 2 events wait for another database \(127\.0\.0\.1:1\/none\), the oldest for /)
      assert.include(status, `-> athena events flush --spool ${spool.name}`)
      const doctor = (yield* Cli.run(["doctor"], { env, cwd: project })).stdout
      assert.match(doctor, /ok +spool +an event was written, delivered and read back/)
      assert.match(doctor, /warning +waiting .*2 events wait/)
      assert.notInclude(status + doctor, "secret")
      assert.deepStrictEqual(
        fs.readdirSync(home).filter((name) => name.startsWith(".doctor-")),
        []
      )

      const flush = Cli.run(["events", "flush", "--spool", spool.name, "--json"], { env, cwd: project })
      const copy = path.join(path.dirname(home), "copy")
      fs.copyFileSync(path.join(home, spool.name), copy)
      assert.deepStrictEqual(json(yield* flush), { delivered: 2, deadLetters: 0, left: 0 })
      assert.deepStrictEqual(json(yield* Cli.run(["status", "--json"], { env, cwd: project })).spools, [])
      // The same events again, as after a kill between the database's commit and the spool's.
      fs.copyFileSync(copy, path.join(home, spool.name))
      assert.strictEqual(json(yield* flush).left, 0)
      assert.strictEqual(json(yield* Cli.run(["status", "--json"], { env, cwd: project })).memory.events, 2)

      for (const name of ["events-00000000.spool", "../events.spool", "athena.db"]) {
        const refused = yield* Cli.run(["events", "flush", "--spool", name], { env, cwd: project })
        assert.strictEqual(refused.code, 1)
        assert.match(refused.stderr, /^athena: there is no spool [^\n]+\n$/)
      }
    })
  )
})
