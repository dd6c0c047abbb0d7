import { assert, describe, it } from "@effect/vitest"
import * as SessionDigest from "../../../src/memory/facts/SessionDigest.ts"
import type { SessionEvent } from "../../../src/memory/facts/SessionEvent.ts"
import { Session } from "./Session.ts"

const day = 86_400_000
const words = (count: number, seed: string) => Array.from({ length: count }, (_, n) => `${seed}${n}`).join(" ")

const digestOf = (events: ReadonlyArray<SessionEvent>) => {
  const digest = SessionDigest.make(events)
  assert.isDefined(digest)
  return digest!
}

const one = (id: string, at: number, size: number) =>
  digestOf(new Session(id, at).prompt(`${id} please`).answer(words(size, id)).events)

const rank = (digests: ReadonlyArray<SessionDigest.SessionDigest>) =>
  SessionDigest.rank(digests, { now: 0, succeeded: new Map() })

const make = (id: string, at: number) =>
  digestOf(new Session(id, at).prompt("migrate the table").fails("pnpm migrate", "timeout").events)

describe("SessionDigest", () => {
  it("contains the prompts that matter, the changed files, the answer and the failure that was left", () => {
    const session = new Session("s-1")
      .prompt("commit this")
      .answer("Done.")
      .prompt("why is the import of ledgers slow?")
      .edit("/w/src/import.ts")
      .edit("/w/src/import.ts")
      .edit("/w/src/b.ts")
      .answer(`The join scans the table. ${words(120, "w")} Open: create the index.`)
      .fails("pnpm tsx import.ts --env staging", "Exit code 1\nerror: statement timeout")
      .prompt("push it")
      .answer("Pushed.")
    const digest = digestOf(session.events)
    assert.deepStrictEqual(
      digest.prompts.map(({ text }) => text),
      ["why is the import of ledgers slow?"]
    )
    assert.deepStrictEqual(digest.files, ["src/import.ts", "src/b.ts"])
    assert.match(digest.answer!.text, /^The join scans the table\..*Open: create the index\.$/)
    assert.isAtMost(digest.answer!.text.length, 470)
    assert.strictEqual(digest.unfinished!.text, "pnpm tsx import.ts --env staging: error: statement timeout")
    assert.isAbove(digest.value, 0)
  })

  it("names at most three prompts, in their order", () => {
    const session = new Session("s-1")
    for (let n = 0; n < 8; n++) session.prompt(words(30 + n, `p${n}x`)).answer("ok")
    const { prompts } = digestOf(session.events)
    assert.deepStrictEqual(
      prompts.map(({ text }) => text.slice(0, 3)),
      ["p0x", "p6x", "p7x"]
    )
  })

  it.each([
    ["the same command", "pnpm test", "pnpm test"],
    ["the same command elsewhere", "cd app && pnpm test 2>&1 | tail -5", "CI=1 pnpm test"],
    ["the whole suite", "pnpm test src/a.test.ts", "pnpm test"],
    ["one of its parts", "pnpm test", "pnpm test src/a.test.ts"],
    ["another temporary folder", "run /tmp/a1/x", "run /tmp/b2/y"]
  ])("reports no failure that a later success covers: %s", (_, failed, succeeded) => {
    const session = new Session("s-1").prompt("go").fails(failed, "boom").succeeds(succeeded)
    assert.isNull(digestOf(session.events).unfinished)
    const other = new Session("s-1").prompt("go").fails(failed, "boom").succeeds("something else")
    assert.isNotNull(digestOf(other.events).unfinished)
    const before = new Session("s-1").prompt("go").succeeds(succeeded).fails(failed, "boom")
    assert.isNotNull(digestOf(before.events).unfinished)
  })

  it.each([
    ["Permission to use Bash with command rm -rf build has been denied.", "rm -rf build"],
    ["The user doesn't want to proceed with this tool use.", "git push --force"],
    ["[Request interrupted by user for tool use]", "pnpm test"],
    ["Exit code 1", "pnpm test"],
    ["Exit code 1\nno match", "grep -r lock src"]
  ])("takes no work from a call that was denied, says nothing or only reads: %s", (error, command) => {
    assert.isNull(digestOf(new Session("s-1").prompt("go").fails(command, error).events).unfinished)
  })

  it("is absent without a prompt, an answer and a failure, and ignores what a program wrote", () => {
    assert.isUndefined(SessionDigest.make([]))
    assert.isUndefined(SessionDigest.make(new Session("s-1").edit("/w/a").note("a note").events))
    const generated = "<task-notification>\n<task-id>b1</task-id>done</task-notification>"
    assert.isUndefined(SessionDigest.make(new Session("s-1").prompt(generated).events))
  })

  it("measures languages without spaces as others", () => {
    const session = new Session("s-1").prompt("继续").answer("完成")
    assert.strictEqual(digestOf(session.events).value, 0)
    const long =
      "迁移到新数据库的方案怎么定要求不停机分三步先全量同步再增量追平最后按用户灰度切换读写回滚靠反向同步链路保留七天"
    assert.isAbove(digestOf(new Session("s-2").prompt("方案怎么定").answer(long).events).value, 20)
  })

  it("ranks by value, halved every 14 days, and routine last", () => {
    const now = 100 * day
    const ranked = (...digests: ReadonlyArray<SessionDigest.SessionDigest>) =>
      SessionDigest.rank(digests, { now, succeeded: new Map() }).map(({ sessionId }) => sessionId)
    assert.deepStrictEqual(ranked(one("chore", now, 3), one("old", now - 20 * day, 80)), ["old", "chore"])
    assert.deepStrictEqual(ranked(one("new", now, 50), one("old", now - 14 * day, 80)), ["new", "old"])
    assert.deepStrictEqual(ranked(one("new", now, 35), one("old", now - 14 * day, 80)), ["old", "new"])
  })

  it("takes a prompt that occurs in three sessions for routine, whatever its numbers and files", () => {
    const routine = [1, 2, 3].map((n) =>
      digestOf(new Session(`r${n}`, n).prompt(`Bump src/v${n}.ts to 1.${n}`).answer(words(90, "w")).events)
    )
    const found = digestOf(new Session("found", 0).prompt("why is it slow?").answer(words(40, "f")).events)
    assert.strictEqual(rank([...routine, found])[0]!.sessionId, "found")
    assert.deepStrictEqual(
      rank([...routine, found]).map(({ value }) => value > 0),
      [true, false, false, false]
    )
    assert.isAbove(rank(routine.slice(0, 2))[1]!.value, 0)
  })

  it("removes repeated prompts, and work that another session finished", () => {
    const [digest] = SessionDigest.rank([make("a", 0)], { now: 0, succeeded: new Map([["pnpm migrate", 10 * day]]) })
    assert.isNull(digest!.unfinished)
    const [earlier] = SessionDigest.rank([make("a", 1)], { now: 0, succeeded: new Map([["pnpm migrate", 0]]) })
    assert.isNotNull(earlier!.unfinished)
    const both = SessionDigest.rank([make("a", 0), make("b", 5)], { now: 5, succeeded: new Map() })
    assert.deepStrictEqual(
      both.map(({ prompts }) => prompts.length),
      [1, 0]
    )
  })
})
