import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Fixtures from "../utils/Fixtures.ts"
import * as TestDaemon from "../utils/TestDaemon.ts"

/** A call that its content identifies: the key holds the id as a hash. */
const tool = (id: string) =>
  Fixtures.body("PostToolUse.Bash", { cwd: import.meta.dirname, tool_use_id: id, tool_input: { command: id } })

const fileOf = (home: string): string => path.join(home, "athena.db")

const remove = (file: string): void => {
  for (const suffix of ["", "-wal", "-shm"]) fs.rmSync(`${file}${suffix}`, { force: true })
}

/** The tools whose events are in the file that has the name of the database. */
const stored = (home: string) =>
  Effect.try({
    try: () => {
      const db = new DatabaseSync(fileOf(home), { readOnly: true })
      try {
        return db.prepare("SELECT content FROM episodic_events ORDER BY id").all() as Array<{ content: string }>
      } finally {
        db.close()
      }
    },
    catch: () => "not readable" as const
  }).pipe(Effect.map((rows) => rows.map(({ content }) => content.replace("Bash: ", ""))))

const eventuallyStored = (home: string, ...ids: ReadonlyArray<string>) =>
  stored(home).pipe(
    Effect.filterOrFail((found) => found.join() === ids.join()),
    Effect.retry({ schedule: Schedule.spaced("20 millis").pipe(Schedule.upTo({ duration: "20 seconds" })) }),
    Effect.orElseSucceed(() => assert.fail(`not stored: ${ids.join()}`))
  )

const told = Effect.fnUntraced(function* () {
  const daemon = yield* TestDaemon.start()
  assert.strictEqual((yield* daemon.tell(tool("t-1"))).status, 204)
  yield* eventuallyStored(daemon.home, "t-1")
  return daemon
})

describe("an event after the database", () => {
  it.live("was deleted: is stored in the new one", () =>
    Effect.gen(function* () {
      const daemon = yield* told()
      remove(fileOf(daemon.home))
      assert.strictEqual((yield* daemon.tell(tool("t-2"))).status, 204)
      yield* eventuallyStored(daemon.home, "t-2")
    }).pipe(Effect.scoped)
  )

  it.live("was replaced: is stored in the replacement", () =>
    Effect.gen(function* () {
      const daemon = yield* told()
      const file = fileOf(daemon.home)
      const db = new DatabaseSync(file)
      db.exec(`VACUUM INTO '${file}.bak'`)
      db.close()
      remove(file)
      fs.renameSync(`${file}.bak`, file)
      assert.strictEqual((yield* daemon.tell(tool("t-2"))).status, 204)
      yield* eventuallyStored(daemon.home, "t-1", "t-2")
    }).pipe(Effect.scoped)
  )

  it.live("lost its log: is stored in a linked file", () =>
    Effect.gen(function* () {
      const daemon = yield* told()
      const file = fileOf(daemon.home)
      const db = new DatabaseSync(file)
      db.exec("PRAGMA wal_checkpoint(TRUNCATE)")
      db.close()
      fs.rmSync(`${file}-wal`)
      assert.strictEqual((yield* daemon.tell(tool("t-2"))).status, 204)
      yield* eventuallyStored(daemon.home, "t-1", "t-2")
    }).pipe(Effect.scoped)
  )

  it.live("was removed with its home: is stored in a new home", () =>
    Effect.gen(function* () {
      const daemon = yield* told()
      fs.rmSync(daemon.home, { recursive: true })
      assert.strictEqual((yield* daemon.tell(tool("t-2"))).status, 204)
      assert.strictEqual(fs.statSync(daemon.home).mode & 0o777, 0o700)
      yield* eventuallyStored(daemon.home, "t-2")
    }).pipe(Effect.scoped)
  )
})
