/**
 * What every `MemoryBridge` must do, whatever database it runs on. Give it a Layer over a fresh database; the tests
 * share it, each in a project of its own.
 */
import { assert, describe, it } from "@effect/vitest"
import { assertNone, assertSome } from "@effect/vitest/utils"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as SqlClient from "effect/sql/SqlClient"
import type * as MemoryBridge from "../../src/memory/MemoryBridge.ts"
import type { Input as MemoryEvent } from "../../src/memory/MemoryEvent.ts"
import type { RepositoryMarks } from "../../src/memory/Project.ts"
import { previewLength } from "../../src/memory/Memory.ts"
import * as Passage from "../../src/relevance/Passage.ts"
import * as Redaction from "../../src/redaction/Redaction.ts"
import { PlainMemory } from "../utils/PlainMemory.ts"

let projects = 0

const newProject = Effect.gen(function* () {
  const memory = yield* PlainMemory
  const n = ++projects
  return yield* memory.ensureProject({ path: `/contract/${n}`, name: `contract-${n}` })
})

/** Times are given as ages, from when the suite was loaded. */
const start = DateTime.nowUnsafe()
const hoursAgo = (hours: number) => DateTime.subtractDuration(start, Duration.hours(hours))

const event = (projectId: number, content: string, more?: Partial<MemoryEvent>): MemoryEvent => ({
  projectId,
  sessionId: "s-1",
  type: "tool_execution",
  content,
  timestamp: start,
  ...more
})

/** The activation score as its documentation states it, for comparison. */
const activation = (row: {
  hours: number
  count: number
  consolidation: number
  importance: number
  nextStep: number
  success: boolean
  sameWorktree: boolean
}): number =>
  -0.5 * Math.log(Math.max(row.hours, 0.1)) +
  0.1 * Math.log(Math.max(row.count, 1)) +
  row.consolidation +
  (row.importance > 0.7 ? 1.5 : 0) +
  (row.nextStep === 1 ? 1 : 0) +
  (row.success ? 0.5 : 0) +
  (row.sameWorktree ? 2 : 0)

/** Runs with the time standing still at `start`; sleeps take their real time. */
const frozen = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.clockWith((clock) => {
    const millis = DateTime.toEpochMillis(start)
    const stopped: Clock.Clock = Object.create(clock, {
      currentTimeMillis: { value: Effect.succeed(millis) },
      currentTimeMillisUnsafe: { value: () => millis }
    })
    return Effect.provideService(effect, Clock.Clock, stopped)
  })

const contents = (result: { readonly items: ReadonlyArray<{ readonly content: string }> }) =>
  result.items.map((item) => item.content)

const found = (result: { readonly results: ReadonlyArray<{ readonly content: string }> }) =>
  result.results.map((item) => item.content)

export const suite = <E>(
  name: string,
  layer: Layer.Layer<MemoryBridge.MemoryBridge | SqlClient.SqlClient, E>
): void => {
  describe(name, () => {
    // The clock is the real one: a driver that sees it jump by years closes its connections.
    it.layer(layer, { timeout: Duration.minutes(2), excludeTestServices: true })("MemoryBridge", (it) => {
      it.effect("makes a project on first sight and finds it by its exact path", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const made = yield* memory.ensureProject({ path: "/repos/shop", name: "shop" })
          const again = yield* memory.ensureProject({ path: "/repos/shop", name: "other" })
          assert.deepStrictEqual(again, made)
          assertSome(yield* memory.getProjectByPath("/repos/shop"), made)
        })
      )

      it.effect("gives two projects of the same folder name different names", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const one = yield* memory.ensureProject({ path: "/a/api", name: "api" })
          const two = yield* memory.ensureProject({ path: "/b/api", name: "api" })
          assert.strictEqual(one.name, "api")
          assert.match(two.name, /^api-[0-9a-f]{8}$/)
          assert.notStrictEqual(one.id, two.id)
        })
      )

      it.effect("recognises the repository at a path by its marks, and gives up the path for another one", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const n = ++projects
          const at = (path: string, marks: RepositoryMarks) => ({
            path: `/marks/${n}/${path}`,
            name: `marks-${n}`,
            marks
          })
          const shop = yield* memory.ensureProject(at("w", { remote: `git.example/shop-${n}`, instance: `${n}-1` }))
          // The same folder with another remote, another copy of the repository, and one that says nothing.
          for (const marks of [
            { remote: `git.example/renamed-${n}`, instance: `${n}-1` },
            { remote: `git.example/shop-${n}`, instance: `${n}-2` },
            { instance: `${n}-3` },
            {}
          ]) {
            assert.deepStrictEqual(yield* memory.checkProject(at("w", marks)), { _tag: "Settled", project: shop })
          }
          const payroll = at("w", { remote: `git.example/payroll-${n}`, instance: `${n}-4` })
          assert.deepStrictEqual(yield* memory.checkProject(payroll), { _tag: "Reused", candidates: [] })
          yield* memory.openSession({ id: `marked-${n}`, project: at("w", {}), worktreePath: "/w" })
          assertNone(yield* memory.relocateProject(payroll))
          const made = yield* memory.ensureProject(payroll)
          assert.notStrictEqual(made.id, shop.id)
          const aside = { ...shop, path: `${shop.path}#${shop.id}` }
          assertSome(yield* memory.getProjectByPath(aside.path), aside)
          // A session stays with its project, whose path it shows.
          const session = yield* memory.getSession(`marked-${n}`)
          assert.deepStrictEqual(Option.getOrThrow(session).project, aside)

          const elsewhere = at("shop", { remote: `git.example/shop-${n}`, instance: `${n}-1` })
          assert.deepStrictEqual(yield* memory.checkProject(elsewhere), { _tag: "Absent", candidates: [aside] })
          // One that another repository is can't be taken over.
          assertNone(yield* memory.relocateProject({ ...elsewhere, movedFrom: made.id }))
          const moved = yield* memory.relocateProject({ ...elsewhere, movedFrom: shop.id })
          assertSome(moved, { ...shop, path: elsewhere.path })
          assert.deepStrictEqual((yield* memory.checkProject(elsewhere))._tag, "Settled")
          assert.deepStrictEqual(yield* memory.checkProject(payroll), { _tag: "Settled", project: made })
        })
      )

      it.effect("takes a project for moved by its first commit, but never against its remote", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const sql = yield* SqlClient.SqlClient
          const n = ++projects
          const at = (path: string, marks: RepositoryMarks) => ({
            path: `/roots/${n}/${path}`,
            name: `root-${n}`,
            marks
          })
          const one = yield* memory.ensureProject(at("a", { root: `c0ffee-${n}`, remote: `git.example/a-${n}` }))
          const found = yield* memory.checkProject(at("b", { root: `c0ffee-${n}` }))
          // Many hosts may share a server, and another host's clone is no project that has moved.
          const expected = sql.onDialectOrElse({ pg: () => [], orElse: () => [one] })
          assert.deepStrictEqual(found, { _tag: "Absent", candidates: expected })
          const fork = yield* memory.checkProject(at("b", { root: `c0ffee-${n}`, remote: `git.example/b-${n}` }))
          assert.deepStrictEqual(fork, { _tag: "Absent", candidates: [] })
        })
      )

      it.effect("lists projects with what they hold, and moves one", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const [one, other] = [yield* newProject, yield* newProject]
          yield* memory.recordEvents([event(one.id, "old", { timestamp: hoursAgo(2) }), event(one.id, "new")])
          yield* memory.addGoal({ projectId: one.id, title: "Ship" })
          yield* memory.openSession({ id: `list-${one.id}`, project: one, worktreePath: "/w" })
          const listed = yield* memory.listProjects
          const of = (id: number) => listed.find((project) => project.id === id)
          assert.deepStrictEqual(of(one.id), { ...one, events: 2, goals: 1, sessions: 1, lastActivity: start })
          assert.deepStrictEqual(of(other.id), { ...other, events: 0, goals: 0, sessions: 0, lastActivity: null })

          const moved = yield* memory.moveProject(one.id, { path: `${one.path}/moved`, name: `${one.name}-moved` })
          assert.deepStrictEqual(moved, { id: one.id, path: `${one.path}/moved`, name: `${one.name}-moved` })
          assertSome(yield* memory.getProjectByPath(moved.path), moved)
          assert.isFalse((yield* memory.listProjects).some(({ path }) => path === one.path))
          assert.deepStrictEqual(Option.getOrThrow(yield* memory.getSession(`list-${one.id}`)).project, moved)
          const taken = yield* Effect.flip(memory.moveProject(one.id, { path: other.path, name: "x" }))
          assert.strictEqual(taken.reason._tag, "PathTaken")
          const missing = yield* Effect.flip(memory.moveProject(2_000_000_000, { path: "/nowhere", name: "x" }))
          assert.strictEqual(missing.reason._tag, "ProjectNotFound")
        })
      )

      it.effect("merges a project into another: events, goals, sessions, and what other tables hold", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const sql = yield* SqlClient.SqlClient
          const [from, into] = [yield* newProject, yield* newProject]
          yield* memory.ensureProject({ ...from, marks: { remote: `git.example/merged-${from.id}` } })
          const { id } = yield* memory.recordEvent(event(from.id, "zeppelin of the first"))
          yield* memory.recordEvent(event(into.id, "zeppelin of the second"))
          yield* memory.addGoal({ projectId: from.id, title: "Land" })
          const sessionId = `merge-${from.id}`
          yield* memory.openSession({ id: sessionId, project: from, worktreePath: "/w" })
          yield* memory.markInjected(sessionId, [id!])
          yield* sql`CREATE TABLE IF NOT EXISTS "other's notes" (id INTEGER, "the project" INTEGER REFERENCES projects(id))`
          yield* sql`INSERT INTO "other's notes" (id, "the project") VALUES (1, ${from.id})`
          // What was read before must not be what is read afterwards.
          yield* Effect.all([memory.getActiveGoals(into.id), memory.searchMemories(into.id, "zeppelin")])
          yield* Effect.all([memory.getSession(sessionId), memory.getProjectByPath(from.path), memory.listProjects])

          assert.deepStrictEqual(yield* memory.mergeProjects(from.id, into.id), {
            project: into,
            events: 1,
            goals: 1,
            sessions: 1
          })
          assert.strictEqual((yield* memory.searchMemories(into.id, "zeppelin")).found, 2)
          assert.strictEqual((yield* memory.searchMemories(from.id, "zeppelin")).found, 0)
          assert.deepStrictEqual((yield* memory.getActiveGoals(into.id)).count, 1)
          assert.deepStrictEqual(Option.getOrThrow(yield* memory.getSession(sessionId)).project, into)
          assert.deepStrictEqual(yield* memory.getInjected(sessionId), [id!])
          assert.isFalse((yield* memory.listProjects).some(({ id }) => id === from.id))
          const rows = yield* sql<{ project: number }>`SELECT "the project" AS project FROM "other's notes"`
          assert.deepStrictEqual(
            rows.map(({ project }) => Number(project)),
            [into.id]
          )
          yield* sql`DROP TABLE "other's notes"`
          for (const [one, other] of [
            [from.id, into.id],
            [into.id, from.id]
          ] as const) {
            assert.strictEqual((yield* Effect.flip(memory.mergeProjects(one, other))).reason._tag, "ProjectNotFound")
          }
          assert.strictEqual((yield* Effect.flip(memory.mergeProjects(into.id, into.id))).reason._tag, "InvalidInput")
        })
      )

      it.effect("falls back to the project named default, and to none", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const sql = yield* SqlClient.SqlClient
          yield* sql`UPDATE projects SET name = 'not-default' WHERE name = 'default'`
          assertNone(yield* memory.getProjectByPath("/nowhere"))
          const fallback = yield* memory.ensureProject({ path: "/workspace-of-contract", name: "default" })
          assertSome(yield* memory.getProjectByPath("/nowhere"), fallback)
          yield* sql`UPDATE projects SET name = 'was-default' WHERE id = ${fallback.id}`
        })
      )

      it.effect("answers an empty project with empty shapes", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const { id } = yield* newProject
          assert.deepStrictEqual(yield* memory.getActiveMemories(id), {
            count: 0,
            items: [],
            activationRange: [0, 1],
            currentWorktree: null
          })
          assert.deepStrictEqual(yield* memory.getActiveGoals(id), { count: 0, goals: [] })
          assert.deepStrictEqual(yield* memory.searchMemories(id, "anything"), { found: 0, results: [] })
          assertNone(yield* memory.getLastSessionTime(id))
        })
      )

      it.effect("records an event with all it carries, and reads it back", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const sql = yield* SqlClient.SqlClient
          const { id } = yield* newProject
          const recorded = yield* memory.recordEvent(
            event(id, "Edit src/x.ts", {
              outcome: "success",
              durationMs: 9,
              cwd: "/w",
              files: ["src/x.ts", 'odd "name",.ts'],
              filesChanged: 1,
              worktreePath: "/w",
              importance: 0.8,
              timestamp: hoursAgo(1)
            })
          )
          assert.isTrue(recorded.isNew)
          assert.match(recorded.key, /^[0-9a-f]{8}-[0-9a-f]{4}-7/)
          assertSome(yield* memory.getMemoryContent(recorded.id!), "Edit src/x.ts")
          assertSome(yield* memory.getLastSessionTime(id), hoursAgo(1))
          const active = yield* frozen(memory.getActiveMemories(id, { worktreePath: "/w" }))
          assert.strictEqual(active.count, 1)
          assert.strictEqual(active.currentWorktree, "/w")
          const item = active.items[0]!
          assert.deepStrictEqual(
            { ...item, activation: 0, importance: 0 },
            {
              id: recorded.id,
              type: "tool_execution",
              content: "Edit src/x.ts",
              timestamp: hoursAgo(1),
              outcome: "success",
              importance: 0,
              worktreePath: "/w",
              activation: 0
            }
          )
          assert.closeTo(item.importance, 0.8, 1e-6)
          assert.closeTo(item.activation, 0 + 1.5 + 0.5 + 2, 1e-6)
          const rows = yield* sql<Record<string, unknown>>`SELECT session_id, duration_ms, context_cwd, context_files,
            files_changed, consolidation_status, lifecycle_status FROM episodic_events WHERE id = ${recorded.id}`
          const row = rows[0]!
          const files = row["context_files"]
          assert.deepStrictEqual(typeof files === "string" ? JSON.parse(files) : files, ["src/x.ts", 'odd "name",.ts'])
          assert.deepStrictEqual(
            [row["session_id"], row["duration_ms"], row["context_cwd"], row["files_changed"]],
            ["s-1", 9, "/w", 1]
          )
          assert.deepStrictEqual([row["consolidation_status"], row["lifecycle_status"]], ["unconsolidated", "active"])
        })
      )

      it.effect("records an event once per key", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const { id } = yield* newProject
          const first = yield* memory.recordEvent(event(id, "first", { key: `k-${id}` }))
          const second = yield* memory.recordEvent(event(id, "second", { key: `k-${id}` }))
          assert.deepStrictEqual(second, { ...first, isNew: false })
          assertSome(yield* memory.getMemoryContent(first.id!), "first")
        })
      )

      it.effect("takes an event that is stored under an earlier key for that one, if it begins the same", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const { id: projectId } = yield* newProject
          const key = (name: string) => `earlier-${projectId}-${name}`
          const of = (name: string, content: string, ...earlier: NonNullable<MemoryEvent["earlierKeys"]>) =>
            event(projectId, content, { key: key(name), earlierKeys: earlier })
          const old = yield* memory.recordEvent(event(projectId, "Bash: 100% ä\u{1F600} make", { key: key("old") }))
          const same = [
            of("a", "anything", { key: key("old") }),
            of("b", "x", { key: key("none") }, { key: key("old"), beginsWith: "Bash: 100% ä\u{1F600}" }),
            of("c", "x", { key: key("old"), beginsWith: "" })
          ]
          for (const one of same) {
            assert.deepStrictEqual(yield* memory.recordEvent(one), { id: old.id, key: one.key!, isNew: false })
          }
          const others = [
            of("d", "Bash: make b", { key: key("old"), beginsWith: "Bash: make" }),
            of("e", "y", { key: key("old"), beginsWith: "bash" }),
            of("f", "y", { key: key("old"), beginsWith: "Bash: 100_" }),
            of("g", "y", { key: key("none") }),
            of("h", "y")
          ]
          const recorded = yield* memory.recordEvents([...others, ...same, ...others])
          assert.deepStrictEqual(
            recorded.map(({ isNew }) => isNew),
            [...others.map(() => true), ...same.map(() => false), ...others.map(() => false)]
          )
          assert.strictEqual(new Set(recorded.map(({ id }) => id)).size, others.length + 1)
          // Also where both come in one batch.
          const [first, second, third] = yield* memory.recordEvents([
            of("i", "z", { key: key("h-") }),
            of("j", "z", { key: key("i") }),
            of("k", "other", { key: key("i"), beginsWith: "z" })
          ])
          assert.deepStrictEqual([first!.isNew, second!.isNew, third!.isNew], [true, false, false])
          assert.strictEqual(second!.id, first!.id)
        })
      )

      it.effect("records a batch in one go, in order, with repeats inside it", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const { id } = yield* newProject
          const keys = ["a", "b", "a", "c"].map((key) => `${key}-${id}`)
          const recorded = yield* memory.recordEvents(keys.map((key) => event(id, key, { key })))
          assert.deepStrictEqual(
            recorded.map((one) => [one.key, one.isNew]),
            keys.map((key, index) => [key, index !== 2])
          )
          assert.strictEqual(recorded[0]!.id, recorded[2]!.id)
          assert.deepStrictEqual(yield* memory.recordEvents([]), [])
        })
      )

      it.effect("keeps all or nothing of a batch", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const { id } = yield* newProject
          const error = yield* Effect.flip(
            memory.recordEvents([event(id, "good", { key: `good-${id}` }), event(2_000_000_000, "no such project")])
          )
          assert.strictEqual(error.reason._tag, "InvalidInput")
          assertNone(yield* memory.getLastSessionTime(id))
        })
      )

      it.effect("stores text that databases refuse: NUL and lone surrogates", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const { id } = yield* newProject
          const { id: memoryId } = yield* memory.recordEvent(event(id, "a\u0000b\uD800c \u001b[31m \u{1F600}"))
          assertSome(yield* memory.getMemoryContent(memoryId!), "a\uFFFDb\uFFFDc \u001b[31m \u{1F600}")
        })
      )

      it.effect("says what is wrong with bad input and shows none of it", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const secret = "hunter2-".repeat(20_000)
          const errors = yield* Effect.all([
            Effect.flip(memory.getActiveMemories(0)),
            Effect.flip(memory.getActiveMemories(1, { limit: 101 })),
            Effect.flip(memory.searchMemories(1, "x", { limit: 0 })),
            Effect.flip(memory.recordEvent(event(1, secret))),
            Effect.flip(memory.recordEvent(event(1, ""))),
            Effect.flip(memory.recordEvent(event(1, "x", { importance: Number.NaN }))),
            Effect.flip(memory.addGoal({ projectId: 1, title: "", priority: 5 })),
            Effect.flip(memory.addGoal({ projectId: 1, title: "x", priority: 11 })),
            Effect.flip(memory.getMemoryContent(1.5))
          ])
          for (const error of errors) {
            assert.strictEqual(error._tag, "MemoryError")
            assert.strictEqual(error.reason._tag, "InvalidInput")
            assert.isFalse(error.isRetryable)
            assert.isBelow(error.message.length, 500)
            assert.notInclude(JSON.stringify(error), "hunter2")
          }
          assert.include(errors[1]!.message, "limit")
          assert.include(errors[3]!.message, "content")
        })
      )

      it.effect("ranks by activation, exactly as documented", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const sql = yield* SqlClient.SqlClient
          const { id } = yield* newProject
          const seed = 20260105
          const rows = yield* Effect.forEach(Array.from({ length: 300 }), (_, index) =>
            Effect.gen(function* () {
              return {
                key: `rank-${id}-${index}`,
                hours: (yield* Random.nextIntBetween(0, 4)) === 0 ? 0.01 : Math.exp((yield* Random.next) * 9) / 10,
                count: yield* Random.nextIntBetween(0, 60),
                consolidation: (yield* Random.next) * 2,
                importance: yield* Random.next,
                nextStep: yield* Random.nextIntBetween(0, 1),
                success: yield* Random.nextBoolean,
                sameWorktree: (yield* Random.nextIntBetween(0, 5)) === 0
              }
            })
          ).pipe(Random.withSeed(seed))
          yield* memory.recordEvents(
            rows.map((row) =>
              event(id, row.key, {
                key: row.key,
                timestamp: hoursAgo(row.hours),
                importance: row.importance,
                outcome: row.success ? "success" : "failure",
                worktreePath: row.sameWorktree ? "/here" : "/there"
              })
            )
          )
          yield* Effect.forEach(
            rows,
            (row) => sql`UPDATE episodic_events SET activation_count = ${row.count},
              consolidation_score = ${row.consolidation}, has_next_step = ${row.nextStep}
              WHERE event_key = ${row.key}`
          )
          const best = (worktree: boolean, limit: number) =>
            rows
              .map((row) => ({
                key: row.key,
                score: activation({ ...row, sameWorktree: worktree && row.sameWorktree })
              }))
              .toSorted((a, b) => b.score - a.score)
              .slice(0, limit)
          for (const [worktreePath, limit] of [
            [undefined, 7],
            ["/here", 7],
            ["/here", 100],
            ["/elsewhere", 30]
          ] as const) {
            const active = yield* frozen(memory.getActiveMemories(id, { limit, worktreePath }))
            const expected = best(worktreePath === "/here", limit)
            assert.deepStrictEqual(
              contents(active),
              expected.map((row) => row.key),
              `seed ${seed}, worktree ${worktreePath}, limit ${limit}`
            )
            for (const [index, item] of active.items.entries()) {
              assert.closeTo(item.activation, expected[index]!.score, 1e-4)
            }
            assert.deepStrictEqual(active.activationRange, [
              active.items.at(-1)!.activation,
              active.items[0]!.activation
            ])
          }
        })
      )

      it.effect("finds a memory of the own worktree behind many newer and many heavier ones", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const sql = yield* SqlClient.SqlClient
          const { id } = yield* newProject
          const heavier = Array.from({ length: 100 }, (_, n) =>
            event(id, `heavier ${n}`, { worktreePath: "/there", outcome: "success", timestamp: hoursAgo(1_000 + n) })
          )
          const newer = Array.from({ length: 100 }, (_, n) =>
            event(id, `newer ${n}`, { worktreePath: "/here", timestamp: hoursAgo(2.9 - n / 200) })
          )
          yield* memory.recordEvents([...heavier, ...newer])
          const hidden = yield* memory.recordEvent(
            event(id, "hidden", { worktreePath: "/here", timestamp: hoursAgo(3) })
          )
          yield* sql`UPDATE episodic_events SET consolidation_score = 0.4 WHERE id = ${hidden.id}`
          const active = yield* memory.getActiveMemories(id, { worktreePath: "/here" })
          assert.strictEqual(contents(active)[0], "hidden")
        })
      )

      it.effect("leaves memories that are not active out of the working set", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const sql = yield* SqlClient.SqlClient
          const { id } = yield* newProject
          const gone = yield* memory.recordEvent(event(id, "archived one"))
          yield* memory.recordEvent(event(id, "active one"))
          yield* sql`UPDATE episodic_events SET lifecycle_status = 'archived' WHERE id = ${gone.id}`
          assert.deepStrictEqual(contents(yield* memory.getActiveMemories(id)), ["active one"])
        })
      )

      it.effect("cuts long content in lists and gives it whole by id", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const { id } = yield* newProject
          const long = "needle " + "\u{1F600}".repeat(Passage.defaultLength)
          const recorded = yield* memory.recordEvent(event(id, long))
          const [item] = contents(yield* memory.getActiveMemories(id))
          const [result] = found(yield* memory.searchMemories(id, "needle"))
          for (const [text, length] of [
            [item!, previewLength],
            [result!, Passage.defaultLength]
          ] as const) {
            assert.isAtMost(text.length, length)
            assert.isTrue(text.endsWith("…"))
            assert.isTrue(text.isWellFormed())
          }
          assertSome(yield* memory.getMemoryContent(recorded.id!), long)
        })
      )

      it.effect("finds by word, by beginning, by other forms and regardless of case", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const { id } = yield* newProject
          yield* memory.recordEvent(event(id, "Migrated the Authentication module to JWT tokens"))
          yield* memory.recordEvent(event(id, "Painted the bikeshed"))
          for (const query of ["authentication", "AUTH", "token", "migrating", "jwt", "what about jwt?"]) {
            assert.deepStrictEqual(
              found(yield* memory.searchMemories(id, query)),
              ["Migrated the Authentication module to JWT tokens"],
              query
            )
          }
        })
      )

      it.effect("finds what a search for parts of words finds", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const { id } = yield* newProject
          const texts = [
            "Fixed rateLimiterMiddleware in the gateway",
            "The build took 100% of the cpu",
            "snake_case_names everywhere",
            "Ärger mit Umlauten",
            "path src/query/Query.ts edited"
          ]
          yield* memory.recordEvents(texts.map((text) => event(id, text)))
          for (const [query, text] of [
            ["limitermid", texts[0]],
            ["100%", texts[1]],
            ["%", texts[1]],
            ["e_case_n", texts[2]],
            ["mlaut", texts[3]],
            ["ärger", texts[3]],
            ["query.ts", texts[4]],
            ["uery.t", texts[4]],
            ["the", texts[1]]
          ] as const) {
            assert.include(found(yield* memory.searchMemories(id, query)), text, query)
          }
          assert.deepStrictEqual(yield* memory.searchMemories(id, "limitermid", { fragments: false }), {
            found: 0,
            results: []
          })
        })
      )

      it.effect("takes any text for a query", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const { id } = yield* newProject
          yield* memory.recordEvent(event(id, "plain words"))
          for (const query of [
            `"`,
            `" OR 1=1 --`,
            "content:plain AND NOT (",
            "a* ^ NEAR(b, 2) {x}",
            "'; DROP TABLE episodic_events; --",
            "\u0000",
            "\uD800",
            "&|!():*<->",
            "   ",
            "",
            "word ".repeat(100_000)
          ]) {
            const result = yield* memory.searchMemories(id, query)
            assert.isAtMost(result.found, 1, query.slice(0, 40))
          }
          assert.deepStrictEqual(found(yield* memory.searchMemories(id, "words")), ["plain words"])
        })
      )

      it.effect("puts the better, the newer and the more important match first", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const { id } = yield* newProject
          yield* memory.recordEvents([
            event(id, "deploy pipeline", { timestamp: hoursAgo(2000) }),
            event(id, "deploy script of the shop", { timestamp: hoursAgo(2000) }),
            event(id, "cache warmup note", { timestamp: hoursAgo(2000) }),
            event(id, "cache warmup idea", { timestamp: hoursAgo(0.5) }),
            event(id, "login flow chosen", { timestamp: hoursAgo(10), importance: 0.1 }),
            event(id, "login flow decided", { timestamp: hoursAgo(10), importance: 1 })
          ])
          assert.strictEqual(found(yield* memory.searchMemories(id, "deploy script"))[0], "deploy script of the shop")
          assert.strictEqual(found(yield* memory.searchMemories(id, "cache warmup"))[0], "cache warmup idea")
          assert.strictEqual(found(yield* memory.searchMemories(id, "login flow"))[0], "login flow decided")
        })
      )

      it.effect("searches one project, and leaves out one session", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const one = yield* newProject
          const two = yield* newProject
          yield* memory.recordEvent(event(one.id, `secret plan ${two.id}`))
          yield* memory.recordEvent(event(two.id, "another plan", { sessionId: "s-2" }))
          assert.deepStrictEqual(found(yield* memory.searchMemories(two.id, "plan")), ["another plan"])
          assert.strictEqual((yield* memory.searchMemories(two.id, "plan", { exceptSession: "s-2" })).found, 0)
          assert.strictEqual((yield* memory.searchMemories(one.id, String(two.id))).found, 1)
          assert.strictEqual((yield* memory.searchMemories(two.id, String(one.id), { fragments: false })).found, 0)
        })
      )

      it.effect("finds what another session said, however much the session itself says of it", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const { id } = yield* newProject
          yield* memory.recordEvent(
            event(id, "plan of the other session, with many more words", { sessionId: "other" })
          )
          yield* memory.recordEvents(Array.from({ length: 200 }, () => event(id, "plan", { sessionId: "own" })))
          const result = yield* memory.searchMemories(id, "plan", { exceptSession: "own" })
          assert.deepStrictEqual(found(result), ["plan of the other session, with many more words"])
        })
      )

      it.effect("lists memories by type, session, time, text and mark, newest first", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const { id } = yield* newProject
          const recorded = yield* memory.recordEvents([
            event(id, "a 100% note", {
              type: "note",
              timestamp: hoursAgo(3),
              sessionId: `list-${id}`,
              files: ["a.ts"]
            }),
            event(id, `${"long ".repeat(100)}`, { timestamp: hoursAgo(2) }),
            event(id, "A 100-fold call", { timestamp: hoursAgo(1), outcome: "failure" })
          ])
          const [note = 0, long = 0, call = 0] = recorded.map((one) => one.id!)
          const ids = (options?: MemoryBridge.ListOptions) =>
            Effect.map(memory.listMemories(id, options), (entries) => entries.map((entry) => entry.id))
          assert.deepStrictEqual(yield* ids(), [call, long, note])
          assert.deepStrictEqual(yield* ids({ limit: 1 }), [call])
          assert.deepStrictEqual(yield* ids({ type: "note" }), [note])
          assert.deepStrictEqual(yield* ids({ sessionId: `list-${id}` }), [note])
          assert.deepStrictEqual(yield* ids({ since: hoursAgo(2) }), [call, long])
          assert.deepStrictEqual(yield* ids({ containing: "a 100%" }), [note])
          assert.deepStrictEqual(yield* ids({ containing: "a 100" }), [call, note])
          assert.deepStrictEqual(yield* ids({ pinned: true }), [])
          assert.isAtMost((yield* memory.listMemories(id))[1]!.content.length, previewLength)
          assert.deepStrictEqual(yield* memory.findMemories(id, { containing: "a 100" }), [note, call])
          assert.deepStrictEqual(yield* memory.findMemories(id), [note, long, call])
          const found = yield* memory.getMemories([long, note, 9_007_199_254_740_991])
          assert.deepStrictEqual(
            found.map((entry) => [entry.id, entry.content.length]),
            [
              [note, 11],
              [long, 500]
            ]
          )
          const entry = (yield* memory.getMemories([note]))[0]!
          assert.deepStrictEqual(entry, {
            id: note,
            projectId: id,
            sessionId: `list-${id}`,
            type: "note",
            content: "a 100% note",
            timestamp: hoursAgo(3),
            outcome: null,
            importance: 0.5,
            cwd: null,
            files: ["a.ts"],
            isPinned: false,
            isForgotten: false
          })
        })
      )

      it.effect("pins, forgets and restores memories of the project only", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const [{ id }, other] = [yield* newProject, yield* newProject]
          const one = (yield* memory.recordEvent(event(id, "walrus one"))).id!
          const foreign = (yield* memory.recordEvent(event(other.id, "walrus of another"))).id!
          const state = Effect.map(memory.getMemories([one]), ([entry]) => [entry?.isPinned, entry?.isForgotten])
          assert.deepStrictEqual(yield* memory.pinMemories(id, [one, foreign]), [one])
          assert.deepStrictEqual(yield* memory.pinMemories(id, [one]), [one])
          assert.deepStrictEqual(yield* state, [true, false])
          assert.deepStrictEqual(yield* memory.unpinMemories(id, [one]), [one])
          assert.deepStrictEqual(yield* memory.forgetMemories(id, [one, foreign]), [one])
          assert.deepStrictEqual(yield* state, [false, true])
          assert.strictEqual((yield* memory.getActiveMemories(id)).count, 0)
          assert.deepStrictEqual((yield* memory.listMemories(id, { forgotten: true })).length, 1)
          assert.deepStrictEqual(yield* memory.restoreMemories(id, [one]), [one])
          assert.deepStrictEqual(yield* state, [false, false])
          assert.strictEqual((yield* memory.getActiveMemories(id)).count, 1)
          assert.strictEqual((yield* memory.getActiveMemories(other.id)).count, 1)
        })
      )

      it.effect("replaces the content of a memory, redacted, also for search", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const { id } = yield* newProject
          const one = (yield* memory.recordEvent(event(id, "the harbour opens at nine"))).id!
          yield* memory.searchMemories(id, "harbour")
          yield* memory.editMemory(id, one, "the airport opens at ten, log in with --password hunter2")
          assert.strictEqual((yield* memory.searchMemories(id, "harbour")).found, 0)
          assert.strictEqual((yield* memory.searchMemories(id, "airport")).found, 1)
          assert.notInclude((yield* memory.getMemories([one]))[0]!.content, "hunter2")
          const error = yield* Effect.flip(memory.editMemory(id, 9_007_199_254_740_991, "x"))
          assert.strictEqual(error.reason._tag, "MemoryNotFound")
        })
      )

      it.effect("deletes a memory so that no delivery restores it", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const [{ id, ...project }, other] = [yield* newProject, yield* newProject]
          const sessionId = `delete-${id}`
          yield* memory.openSession({ id: sessionId, project, worktreePath: "/w" })
          const kept = event(id, "osprey stays", { key: `stays-${id}` })
          const gone = event(id, "osprey leaves", { key: `leaves-${id}` })
          const [first = 0, second = 0] = (yield* memory.recordEvents([kept, gone])).map((one) => one.id!)
          const foreign = (yield* memory.recordEvent(event(other.id, "osprey of another"))).id!
          yield* memory.markInjected(sessionId, [first, second])
          yield* memory.pinMemories(id, [second])
          yield* memory.searchMemories(id, "osprey")
          assert.deepStrictEqual(yield* memory.deleteMemories(id, [second, foreign]), [second])
          assert.deepStrictEqual(yield* memory.deleteMemories(id, [second]), [])
          assert.deepStrictEqual(yield* memory.getInjected(sessionId), [first])
          assert.strictEqual((yield* memory.searchMemories(id, "leaves")).found, 0)
          assertNone(yield* memory.getMemoryContent(second))
          assertSome(yield* memory.getMemoryContent(foreign), "osprey of another")
          // The same event, and one that names the key as its earlier key.
          assert.deepStrictEqual(yield* memory.recordEvents([gone, kept]), [
            { id: null, key: gone.key!, isNew: false },
            { id: first, key: kept.key!, isNew: false }
          ])
          const again = yield* memory.recordEvent({ ...gone, key: `other-${id}`, earlierKeys: [{ key: gone.key! }] })
          assert.isFalse(again.isNew)
          assert.deepStrictEqual((yield* memory.listMemories(id)).length, 1)
        })
      )

      it.effect("lists sessions, last active first", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const { id } = yield* newProject
          yield* memory.recordEvents([
            event(id, "build", { sessionId: "early", timestamp: hoursAgo(5) }),
            event(id, "second prompt", { sessionId: "early", timestamp: hoursAgo(3), type: "user_question" }),
            event(id, "first prompt", { sessionId: "early", timestamp: hoursAgo(4), type: "user_question" }),
            event(id, "lint", { sessionId: "recent", timestamp: hoursAgo(1) })
          ])
          assert.deepStrictEqual(yield* memory.listSessions(id), [
            { id: "recent", start: hoursAgo(1), end: hoursAgo(1), events: 1, firstPrompt: null },
            { id: "early", start: hoursAgo(5), end: hoursAgo(3), events: 3, firstPrompt: "first prompt" }
          ])
          assert.strictEqual((yield* memory.listSessions(id, { limit: 1 })).length, 1)
        })
      )

      it.effect("edits and deletes goals of the project only", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const [{ id }, other] = [yield* newProject, yield* newProject]
          const goal = yield* memory.addGoal({ projectId: id, title: "Land", priority: 3 })
          yield* memory.getActiveGoals(id)
          assert.deepStrictEqual(yield* memory.editGoal(id, goal.id, { title: "Land softly" }), {
            ...goal,
            title: "Land softly"
          })
          assert.strictEqual((yield* memory.editGoal(id, goal.id, { priority: 9 })).priority, 9)
          for (const attempt of [memory.editGoal(other.id, goal.id, {}), memory.deleteGoal(other.id, goal.id)]) {
            assert.strictEqual((yield* Effect.flip(attempt as typeof attempt)).reason._tag, "GoalNotFound")
          }
          yield* memory.deleteGoal(id, goal.id)
          assert.strictEqual((yield* memory.getActiveGoals(id)).count, 0)
        })
      )

      it.effect("keeps goals: adds, lists by state, ranks by priority, sets the state", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const { id } = yield* newProject
          const low = yield* memory.addGoal({ projectId: id, title: "Tidy up", priority: 2 })
          const high = yield* memory.addGoal({ projectId: id, title: "Ship 1.0", priority: 9, status: "active" })
          const later = yield* memory.addGoal({ projectId: id, title: "Later", status: "pending" })
          assert.deepStrictEqual(low.status, "in_progress")
          assert.deepStrictEqual(yield* memory.getActiveGoals(id), { count: 2, goals: [high, low] })
          assert.deepStrictEqual((yield* memory.getActiveGoals(id, { limit: 1 })).goals, [high])
          assert.deepStrictEqual((yield* memory.listGoals(id, ["pending"])).goals, [later])
          assert.strictEqual((yield* memory.listGoals(id)).count, 3)
          const done = yield* memory.setGoalStatus(id, high.id, "completed")
          assert.deepStrictEqual(done, { ...high, status: "completed" })
          assert.deepStrictEqual((yield* memory.getActiveGoals(id)).goals, [low])
          const other = yield* newProject
          const error = yield* Effect.flip(memory.setGoalStatus(other.id, low.id, "completed"))
          assert.strictEqual(error.reason._tag, "GoalNotFound")
        })
      )

      it.effect("keeps the project that a session began in", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const sessionId = `session-${++projects}`
          assertNone(yield* memory.getSession(sessionId))
          const opened = yield* memory.openSession({
            id: sessionId,
            project: { path: "/first", name: "first" },
            worktreePath: "/first/wt"
          })
          const again = yield* memory.openSession({
            id: sessionId,
            project: { path: "/second", name: "second" },
            worktreePath: "/second"
          })
          assert.deepStrictEqual(again, opened)
          assert.strictEqual(opened.project.path, "/first")
          assertSome(yield* memory.getSession(sessionId), opened)
        })
      )

      it.effect("finds a project whose path an earlier version stored without redaction", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const sql = yield* SqlClient.SqlClient
          const path = `/contract/ghp_${"a1B2c3D4e5F6".repeat(3)}/${++projects}`
          assert.include(Redaction.redactName(path, 850), "[redacted-")
          yield* sql`INSERT INTO projects (name, path) VALUES (${`old-${projects}`}, ${path})`
          const project = yield* memory.ensureProject({ path, name: `new-${projects}` })
          assert.strictEqual(project.name, `old-${projects}`)
          assert.strictEqual(Option.getOrThrow(yield* memory.getProjectByPath(path)).id, project.id)
          yield* memory.recordEvent(event(project.id, "xylophone of an old row", { worktreePath: path }))
          assert.strictEqual((yield* memory.searchMemories(project.id, "xylophone")).found, 1)
        })
      )

      it.effect("copies to a fork the injections and events of the session last active in its worktree", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const n = ++projects
          const project = { path: `/contract/fork-${n}`, name: `fork-${n}` }
          const open = (id: string, worktreePath: string) =>
            memory.openSession({ id: `${id}-${n}`, project, worktreePath })
          const did = (id: string, worktreePath: string, hours: number) =>
            Effect.map(
              memory.recordEvent(
                event(projectId, `${id} did`, { sessionId: `${id}-${n}`, worktreePath, timestamp: hoursAgo(hours) })
              ),
              (recorded) => recorded.id
            )
          const projectId = (yield* open("older", "/a")).project.id
          yield* open("parent", "/a")
          yield* open("elsewhere", "/b")
          yield* did("older", "/a", 2)
          const own = [yield* did("parent", "/a", 3), yield* did("parent", "/a", 1)]
          yield* did("elsewhere", "/b", 0)
          yield* did("command-line", "/a", 0)
          yield* memory.markInjected(`parent-${n}`, [7_000_001, 7_000_002])
          yield* memory.markInjected(`older-${n}`, [7_000_003])
          yield* open("fork", "/a")
          for (const _ of [1, 2]) {
            yield* memory.inheritInjected(`fork-${n}`)
            assert.sameMembers([...(yield* memory.getInjected(`fork-${n}`))], [7_000_001, 7_000_002, ...own])
          }
          yield* open("first", "/c")
          yield* memory.inheritInjected(`first-${n}`)
          assert.deepStrictEqual(yield* memory.getInjected(`first-${n}`), [])
        })
      )

      it.effect("lists notes newest first, whatever their use, and digests sessions by their value", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const sql = yield* SqlClient.SqlClient
          const { id } = yield* newProject
          const say = (
            sessionId: string,
            type: string,
            content: string,
            hours: number,
            more: Partial<MemoryEvent> = {}
          ) => memory.recordEvent(event(id, content, { sessionId, type, timestamp: hoursAgo(hours), ...more }))
          yield* say("athena-cli", "note", "x".repeat(500), 5_000)
          const forgotten = yield* say("athena-cli", "note", "a forgotten note", 2)
          const unset = yield* say("athena-cli", "note", "an old row", 1)
          yield* sql`UPDATE episodic_events SET lifecycle_status = 'forgotten' WHERE id = ${forgotten.id}`
          yield* sql`UPDATE episodic_events SET lifecycle_status = NULL WHERE id = ${unset.id}`
          assert.deepStrictEqual(
            (yield* memory.getNotes(id)).map(({ content }) => content.slice(0, 10)),
            ["an old row", "xxxxxxxxxx"]
          )
          assert.strictEqual((yield* memory.getNotes(id))[1]!.content.length, 400)
          assert.strictEqual((yield* memory.getNotes(id, { limit: 1 })).length, 1)

          const long = Array.from({ length: 60 }, (_, n) => `word${n}`).join(" ")
          const prompt = yield* say("found", "user_question", "why is it slow?", 100)
          yield* say("found", "tool_execution", "Edit: /w/src/a.ts", 99.9, {
            files: ["/w/src/a.ts"],
            filesChanged: 1,
            outcome: "success",
            worktreePath: "/w"
          })
          yield* say("found", "tool_execution", "Bash: make\nfailed: ld: no memory", 99.8, { outcome: "failure" })
          const answer = yield* say("found", "assistant_message", long, 99.7)
          yield* say("chore", "user_question", "push it", 1)
          const digests = yield* memory.getDigests(id)
          assert.deepStrictEqual(
            digests.map(({ sessionId }) => sessionId),
            ["found", "chore"]
          )
          const [found] = digests
          assert.deepStrictEqual(found!.prompts, [{ id: prompt.id!, text: "why is it slow?" }])
          assert.strictEqual(found!.answer!.id, answer.id)
          assert.deepStrictEqual(found!.files, ["src/a.ts"])
          assert.strictEqual(found!.unfinished!.text, "make: ld: no memory")
          assert.deepStrictEqual(
            (yield* memory.getDigests(id, { exceptSession: "found" })).map(({ sessionId }) => sessionId),
            ["chore"]
          )
        })
      )

      it.effect("remembers the injections of a session until they are forgotten", () =>
        Effect.gen(function* () {
          const memory = yield* PlainMemory
          const id = `session-${++projects}`
          yield* memory.openSession({ id, project: { path: "/shown", name: "shown" }, worktreePath: "/shown" })
          yield* memory.markInjected(id, [3, 1])
          yield* memory.markInjected(id, [3, 2])
          yield* memory.markInjected(id, [])
          assert.deepStrictEqual(yield* memory.getInjected(id), [3, 2, 1])
          yield* memory.clearInjected(id)
          assert.deepStrictEqual(yield* memory.getInjected(id), [])
        })
      )
    })
  })
}
