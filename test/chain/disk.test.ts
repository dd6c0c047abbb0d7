/**
 * What agents see, and what is in the database in the end, where something is wrong with what the daemon stands on:
 * the disk, the database, and the network to it.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import * as PgClient from "@effect/sql-pg/PgClient"
import { afterEach, assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { inject } from "vitest"
import * as FaultProxy from "../utils/FaultProxy.ts"
import * as Postgres from "../utils/Postgres.ts"
import * as SmallDisk from "../utils/SmallDisk.ts"
import * as Worker from "../utils/Worker.ts"
import * as Kit from "./ChainKit.ts"

const smallDisk = SmallDisk.make("12m")

/** Writes until nothing fits any more. */
const fill = (file: string): void => {
  const handle = fs.openSync(file, "a")
  try {
    for (let size = 65_536; size > 0;) {
      try {
        fs.writeSync(handle, Buffer.alloc(size))
      } catch {
        size >>= 1
      }
    }
  } finally {
    fs.closeSync(handle)
  }
}

const lockingProcess = path.join(import.meta.dirname, "..", "cache", "lockingProcess.ts")

/** A database of the test server behind a line that can be cut, and what is stored in it. */
const remote = Effect.gen(function* () {
  const database = yield* Postgres.createDatabase
  const server = inject("postgres")
  const proxy = yield* FaultProxy.make(server)
  const stored = Effect.gen(function* () {
    const sql = yield* PgClient.PgClient
    const rows = yield* sql<{ content: string }>`SELECT content FROM episodic_events ORDER BY id`
    return rows.map(({ content }) => content)
  }).pipe(Effect.provide(Postgres.layerDatabase(database)), Effect.orDie)
  const url = `postgres://${server.username}:${server.password}@127.0.0.1:${proxy.port}/${database}`
  const chain = yield* Kit.make({ env: { ATHENA_DATABASE_URL: url }, stored })
  return { proxy, chain }
})

describe.skipIf(process.platform !== "linux")("the daemon", () => {
  afterEach(({ task }) => Kit.printSlowest(task.name))

  it.live.skipIf(!SmallDisk.canMount)(
    "acknowledges no unstored event on a full disk and resumes when there is space",
    () =>
      Effect.gen(function* () {
        const home = path.join(yield* smallDisk, "home")
        fs.mkdirSync(home, { mode: 0o700 })
        const chain = yield* Kit.make({ home })
        const pid = yield* chain.started
        yield* chain.goodDay
        const filler = path.join(path.dirname(home), "filler")
        fill(filler)
        // Until not even what was free in the files is.
        const session = yield* chain.session()
        yield* Effect.repeat(session.tools, {
          until: () => chain.heard.some(({ event, isKept }) => event === "PostToolBatch" && !isKept)
        })
        chain.sinceThen()
        yield* chain.day
        const full = chain.sinceThen()
        assert.isTrue(full.some(({ isKept, via }) => via === "post" && !isKept))
        fs.rmSync(filler)
        // With room the next event is kept again, though not always the first.
        yield* Effect.repeat(session.tool, { until: (heard) => heard.every(({ isKept }) => isKept) })
        chain.sinceThen()
        yield* chain.goodDay
        yield* chain.caughtUp
        yield* chain.holds
        assert.deepStrictEqual(yield* chain.processes, [pid])
      })
  )

  it.live("spools events while its database is locked and delivers them afterwards", () =>
    Effect.gen(function* () {
      const chain = yield* Kit.make()
      yield* chain.started
      yield* chain.goodDay
      yield* chain.caughtUp
      const before = (yield* chain.stored).size
      const locker = yield* Worker.start(lockingProcess, [path.join(chain.home, "athena.db")])
      const claude = yield* chain.session()
      const codex = yield* chain.session("codex")
      yield* claude.start()
      yield* claude.prompt
      chain.sinceThen()
      for (const session of [claude, codex]) {
        yield* session.tools
        yield* session.helper
        yield* session.compacted
        yield* session.stop
        yield* session.end
      }
      yield* claude.settled
      chain.allIsWell()
      assert.strictEqual((yield* chain.stored).size, before)
      yield* Kit.until(
        "they are all kept",
        Effect.map(chain.status, (status) => status?.responses.running === 0)
      )
      // Nobody is there to keep them: a command says so, and no more.
      yield* chain.kill
      yield* chain.claimed
      yield* codex.stop
      assert.match(chain.sinceThen()[0]!.error!, /locked by another process/)
      yield* locker.kill
      // The pauses between the attempts have grown long by now; a command need not wait for them.
      yield* chain.flushed
      yield* chain.later
      yield* chain.started
      yield* chain.goodDay
      yield* chain.holds
    })
  )

  for (const [what, fault] of [
    ["is refused by", "refuse"],
    ["hears nothing from", "blackHole"]
  ] as const) {
    it.live(`${what} its server: spools events and delivers them when the server returns`, () =>
      Effect.gen(function* () {
        const { chain, proxy } = yield* remote
        yield* chain.started
        yield* chain.goodDay
        yield* chain.caughtUp
        const before = (yield* chain.stored).size
        yield* proxy.set({ _tag: fault })
        yield* proxy.resetAll
        yield* chain.day
        const away = chain.sinceThen()
        chain.isWell(away)
        const { size } = Kit.marksOf(away)
        yield* Kit.until(
          "all of it is kept on this host",
          Effect.map(chain.status, (status) => status?.responses.running === 0 && (status.events?.waiting ?? 0) >= size)
        )
        assert.strictEqual((yield* chain.stored).size, before)
        // Those who have no process beside them keep them as well.
        yield* chain.kill
        yield* chain.claimed
        const alone = yield* chain.session("codex")
        yield* alone.stop
        yield* proxy.set({ _tag: "pass" })
        yield* chain.later
        yield* chain.started
        yield* chain.caughtUp
        yield* chain.goodDay
        assert.strictEqual((yield* chain.holds).size, Kit.marksOf(chain.heard).size + chain.interrupted.size)
      })
    )
  }
})
