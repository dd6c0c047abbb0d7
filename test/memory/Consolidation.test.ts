import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import * as TestClock from "effect/testing/TestClock"
import * as Consolidation from "../../src/memory/Consolidation.ts"
import * as MemoryBridge from "../../src/memory/MemoryBridge.ts"
import * as Facts from "../../src/memory/queries/Facts.ts"
import * as QueryExecutor from "../../src/query/QueryExecutor.ts"
import * as Sqlite from "../../src/sql/Sqlite.ts"
import { PlainMemory } from "../utils/PlainMemory.ts"
import * as Postgres from "../utils/Postgres.ts"
import * as TempFolder from "../utils/TempFolder.ts"
import { Session } from "./facts/Session.ts"

const sqlite = Layer.unwrap(
  Effect.map(TempFolder.make, (folder) => Sqlite.layer({ filename: path.join(folder, "athena.db") }))
)

const on = <E>(database: Layer.Layer<SqlClient.SqlClient, E>) =>
  Layer.merge(MemoryBridge.layerSql, QueryExecutor.layer).pipe(Layer.provideMerge(database))

let projects = 0

const setUp = Effect.gen(function* () {
  const memory = yield* PlainMemory
  const n = ++projects
  const project = { path: `/consolidated/${n}`, name: `consolidated-${n}` }
  const { id } = yield* memory.ensureProject(project)
  const start = (yield* Clock.currentTimeMillis) - Duration.toMillis("1 day")
  const record = (session: Session) =>
    memory.recordEvents(
      session.events.map(({ content, files, filesChanged, outcome, timestamp, type }, index) => ({
        key: `${n}-${session.id}-${timestamp}-${index}-${type}`,
        projectId: id,
        sessionId: `${session.id}-${n}`,
        type,
        content,
        files,
        filesChanged,
        outcome: outcome ?? undefined,
        timestamp: DateTime.makeUnsafe(start + timestamp),
        worktreePath: "/w"
      }))
    )
  const open = (sessionId: string) => memory.openSession({ id: `${sessionId}-${n}`, project, worktreePath: "/w" })
  const texts = (options?: MemoryBridge.FactsOptions) =>
    Effect.map(memory.listFacts(id, options), (facts) => facts.map(({ kind, text }) => `${kind}: ${text}`).toSorted())
  return { id, memory, n, open, record, texts }
})

const long = Array.from({ length: 60 }, (_, n) => `word${n}`).join(" ")

const work = (session: string, at: number) =>
  new Session(session, at)
    .prompt("make it fast. always use pnpm here")
    .fails("pnpm vitest run", "TypeError: x is undefined")
    .edit("/w/src/a.ts")
    .succeeds("pnpm vitest run")
    .succeeds("pnpm vitest run")
    .succeeds("pnpm vitest run")
    .answer(long)

const summary = (...tasks: ReadonlyArray<string>) =>
  `7. Pending Tasks:\n${tasks.map((task) => `   - ${task}`).join("\n")}`

const suite = <E>(name: string, database: Layer.Layer<SqlClient.SqlClient, E>) =>
  describe(name, () => {
    it.layer(on(database), { timeout: Duration.minutes(2), excludeTestServices: true })("Consolidation", (it) => {
      it.effect("derives facts from sessions, counts their evidence, and changes nothing when repeated", () =>
        Effect.gen(function* () {
          const { id, memory, record, texts } = yield* setUp
          yield* record(work("one", 0))
          const first = yield* Consolidation.consolidate()
          assert.isTrue(first.isOwner)
          assert.deepStrictEqual(yield* texts({ kinds: ["command"] }), [])
          yield* record(work("two", 100_000))
          yield* Consolidation.consolidate()
          const expected = [
            "digest: make it fast. always use pnpm here",
            "digest: make it fast. always use pnpm here",
            "fix: pnpm vitest run failed: TypeError: x is undefined; succeeded after changes of src/a.ts",
            "preference: always use pnpm here"
          ]
          assert.deepStrictEqual(yield* texts(), expected)
          yield* record(new Session("three", 200_000).succeeds("pnpm vitest run").succeeds("pnpm vitest run"))
          yield* Consolidation.consolidate()
          assert.deepStrictEqual(yield* texts({ kinds: ["command"] }), ["command: test: pnpm vitest run"])
          const [fix] = yield* memory.listFacts(id, { kinds: ["fix"] })
          assert.strictEqual(fix!.proofs, 2)
          assert.approximately(fix!.confidence, 0.8, 1e-6)
          assert.isNull(fix!.endedAt)
          const before = yield* memory.listFacts(id, { all: true })
          assert.strictEqual((yield* Consolidation.consolidate()).sessions, 0)
          assert.deepStrictEqual(yield* memory.listFacts(id, { all: true }), before)
          yield* Consolidation.consolidate({ rebuild: true })
          const plain = (facts: typeof before) =>
            facts.map(({ id: _, recordedAt: __, ...fact }) => JSON.stringify(fact)).toSorted()
          assert.deepStrictEqual(plain(yield* memory.listFacts(id, { all: true })), plain(before))
        })
      )

      it.effect("ends a preference that a newer one contradicts, and retains both with their times", () =>
        Effect.gen(function* () {
          const { id, memory, record } = yield* setUp
          yield* record(new Session("one").prompt("use npm instead of pnpm"))
          yield* Consolidation.consolidate()
          yield* record(new Session("two", 5_000).prompt("use pnpm instead of npm"))
          yield* Consolidation.consolidate()
          const facts = yield* memory.listFacts(id, { kinds: ["preference"], all: true })
          assert.deepStrictEqual(
            facts.map(({ endedAt, text }) => [text, endedAt === null]),
            [
              ["use pnpm instead of npm", true],
              ["use npm instead of pnpm", false]
            ]
          )
          assert.strictEqual(facts[1]!.validTo, facts[0]!.validFrom)
          assert.strictEqual(facts[1]!.endedBy, facts[0]!.id)
        })
      )

      it.effect("never restores a fact that a user ended", () =>
        Effect.gen(function* () {
          const { id, memory, record, texts } = yield* setUp
          yield* record(new Session("one").prompt("always use pnpm"))
          yield* Consolidation.consolidate()
          const [fact] = yield* memory.listFacts(id)
          assert.isTrue(yield* memory.endFact(id, fact!.id))
          assert.isFalse(yield* memory.endFact(id, fact!.id))
          assert.isFalse(yield* memory.endFact(id + 1_000, fact!.id))
          yield* record(new Session("two", 9_000).prompt("always use pnpm"))
          yield* Consolidation.consolidate()
          assert.deepStrictEqual(yield* texts(), [])
          yield* Consolidation.consolidate({ rebuild: true })
          assert.deepStrictEqual(yield* texts(), [])
        })
      )

      it.effect("ends the pending tasks of a session that its last summary no longer contains", () =>
        Effect.gen(function* () {
          const { record, texts } = yield* setUp
          yield* record(new Session("one").add("compaction", summary("create the index", "restart the backfill")))
          yield* Consolidation.consolidate()
          yield* record(new Session("one", 5_000).add("compaction", summary("restart the backfill")))
          yield* Consolidation.consolidate()
          assert.deepStrictEqual(yield* texts({ kinds: ["task"] }), ["task: restart the backfill"])
        })
      )

      it.effect("derives nothing from forgotten and deleted events, and deletes facts that rest on them", () =>
        Effect.gen(function* () {
          const { id, memory, record, texts } = yield* setUp
          const [prompt] = yield* record(new Session("one").prompt("always use pnpm").answer(long))
          yield* record(new Session("two", 50).prompt("never use npm"))
          yield* Consolidation.consolidate()
          yield* memory.forgetMemories(id, [prompt!.id!])
          assert.deepStrictEqual(yield* texts({ kinds: ["preference"] }), ["preference: never use npm"])
          yield* Consolidation.consolidate()
          assert.deepStrictEqual(yield* texts({ kinds: ["preference"] }), ["preference: never use npm"])
          yield* memory.restoreMemories(id, [prompt!.id!])
          yield* Consolidation.consolidate()
          assert.deepStrictEqual(yield* texts({ kinds: ["preference"] }), [
            "preference: always use pnpm",
            "preference: never use npm"
          ])
          yield* memory.deleteMemories(id, [prompt!.id!])
          yield* Consolidation.consolidate()
          assert.deepStrictEqual(yield* texts({ kinds: ["preference"] }), ["preference: never use npm"])
        })
      )

      it.effect("moves facts with a merged project, each subject once", () =>
        Effect.gen(function* () {
          const one = yield* setUp
          const other = yield* setUp
          yield* one.record(new Session("one").prompt("always use pnpm").prompt("never use npm"))
          yield* other.record(new Session("two").prompt("always use pnpm"))
          yield* Consolidation.consolidate()
          yield* one.memory.mergeProjects(one.id, other.id)
          assert.deepStrictEqual(yield* other.texts({ kinds: ["preference"] }), [
            "preference: always use pnpm",
            "preference: never use npm"
          ])
        })
      )

      it.effect("consolidates in one process at a time, and after the lease of a dead one", () =>
        Effect.gen(function* () {
          const { record, texts } = yield* setUp
          const sql = yield* SqlClient.SqlClient
          yield* record(new Session("one").prompt("always use pnpm"))
          const far = (yield* Clock.currentTimeMillis) + Duration.toMillis("1 hour")
          yield* sql`UPDATE agent_consolidation SET owner = 'another', lease_until = ${far}`
          assert.isFalse((yield* Consolidation.consolidate()).isOwner)
          assert.deepStrictEqual(yield* texts(), [])
          yield* sql`UPDATE agent_consolidation SET lease_until = 1`
          assert.isTrue((yield* Consolidation.consolidate()).isOwner)
          assert.deepStrictEqual(yield* texts(), ["preference: always use pnpm"])
        })
      )

      it.effect("counts what was useful: a file, a command or a name of it appears in a later call", () =>
        Effect.gen(function* () {
          const { id, memory, n, open, record } = yield* setUp
          const executor = yield* QueryExecutor.QueryExecutor
          yield* record(new Session("one").prompt("always use src/pay/lock.ts").prompt("never use src/old.ts"))
          yield* Consolidation.consolidate()
          yield* open("two")
          const facts = yield* memory.listFacts(id, { kinds: ["preference"] })
          yield* memory.markInjectedFacts(
            `two-${n}`,
            facts.map((fact) => fact.id)
          )
          assert.sameMembers(
            [...(yield* memory.getInjectedFacts(`two-${n}`))],
            facts.map((fact) => fact.id)
          )
          const before = yield* executor.query(Facts.usefulness, {})
          yield* record(new Session("two", 50).prompt("go").edit("/w/src/pay/lock.ts"))
          yield* Consolidation.consolidate()
          const useful = yield* memory.listFacts(id, { kinds: ["preference"] })
          assert.sameDeepMembers(
            useful.map((fact) => [fact.text, fact.shown, fact.useful]),
            [
              ["always use src/pay/lock.ts", 1, 1],
              ["never use src/old.ts", 1, 0]
            ]
          )
          assert.isNotNull(useful[0]!.lastShown)
          assert.deepStrictEqual(before, [])
          assert.deepStrictEqual(yield* executor.query(Facts.usefulness, {}), [
            { kind: "preference", shown: 2, useful: 1 }
          ])
        })
      )
    })
  })

suite("SQLite", sqlite)
suite("Postgres", Postgres.layerFresh)

describe("Consolidation.run", () => {
  it.effect("consolidates when the process is idle, and after ten minutes at the latest", () =>
    Effect.gen(function* () {
      const { record, texts } = yield* setUp
      let isIdle = false
      const fiber = yield* Effect.forkChild(Consolidation.run(Effect.sync(() => isIdle)))
      yield* record(new Session("one").prompt("always use pnpm"))
      yield* TestClock.adjust("9 minutes")
      assert.deepStrictEqual(yield* texts(), [])
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(yield* texts(), ["preference: always use pnpm"])
      yield* record(new Session("two", 5_000).prompt("never use npm"))
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual((yield* texts()).length, 1)
      isIdle = true
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* texts()).length, 2)
      yield* Fiber.interrupt(fiber)
    }).pipe(Effect.provide(on(Sqlite.layer({ filename: ":memory:" }))))
  )
})
