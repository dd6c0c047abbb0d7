import { assert, describe, it } from "@effect/vitest"
import * as CommandFacts from "../../../src/memory/facts/CommandFacts.ts"
import * as Fact from "../../../src/memory/facts/Fact.ts"
import { Session } from "./Session.ts"

const minute = 60_000
const day = 24 * 60 * minute

const observed = (session: Session, kind: Fact.FactKind) =>
  CommandFacts.observe(session.events).filter((one) => one.kind === kind)

const fixesOf = (session: Session) => observed(session, "fix").map(({ text }) => text)

const runs = (sessionId: string, at: number, succeeded: number, failed: number, failing = 0): Fact.Evidence => ({
  sessionId,
  ids: [1],
  from: at,
  at,
  succeeded,
  failed,
  failing
})

const confidence = (...evidence: ReadonlyArray<Fact.Evidence>) => Fact.confidence("command", "derived", evidence)

const fact = (kind: Fact.FactKind, more: Partial<Fact.Fact> = {}): Fact.Fact => ({
  id: 1,
  projectId: 1,
  kind,
  subject: "s",
  text: "t",
  confidence: 0.8,
  evidence: [],
  proofs: 1,
  validFrom: 0,
  validTo: null,
  recordedAt: 0,
  endedAt: null,
  endedBy: null,
  source: "derived",
  lastShown: null,
  shown: 0,
  useful: 0,
  ...more
})

describe("CommandFacts", () => {
  it("takes for a fix the files that changed between a failure and the next success", () => {
    const session = new Session("s")
      .fails("pnpm vitest run test/a.test.ts", "Exit code 1\nTypeError: x is undefined")
      .edit("/w/src/a.ts")
      .succeeds("cd /w && pnpm vitest run test/a.test.ts 2>&1 | tail -3")
    assert.deepStrictEqual(fixesOf(session), [
      "pnpm vitest run test/a.test.ts failed: TypeError: x is undefined; succeeded after changes of src/a.ts"
    ])
  })

  it("attributes each error of a series to its own change", () => {
    const session = new Session("s")
      .fails("make", "error: first problem")
      .edit("/w/a.c")
      .fails("make", "error: second problem")
      .edit("/w/b.c")
      .succeeds("make")
    assert.deepStrictEqual(fixesOf(session), [
      "make failed: error: first problem; succeeded after changes of a.c",
      "make failed: error: second problem; succeeded after changes of b.c"
    ])
    const repeated = new Session("s")
      .fails("make", "error: at line 12 in /w/a.c")
      .edit("/w/x.c")
      .fails("make", "error: at line 31 in /w/b.c")
      .edit("/w/b.c")
      .succeeds("make")
    assert.deepStrictEqual(
      fixesOf(repeated).map((text) => text.split("changes of ")[1]),
      ["b.c"]
    )
  })

  it.each([
    ["without a change", new Session("s").fails("make", "error: boom").succeeds("make")],
    ["of another command", new Session("s").fails("make", "error: boom").edit("/w/a").succeeds("make all")],
    ["before the failure", new Session("s").edit("/w/a").fails("make", "error: boom").succeeds("make")],
    ["never", new Session("s").fails("make", "error: boom").edit("/w/a")],
    [
      "after an hour",
      new Session("s")
        .fails("make", "error: boom")
        .edit("/w/a")
        .wait(60 * minute)
        .succeeds("make")
    ],
    ["of a flaky command", flaky()],
    ["after many calls", manyCalls()],
    ["of a denied call", denied("Permission to use Bash with command make has been denied.")],
    ["of an interrupted call", denied("[Request interrupted by user for tool use]")],
    ["of a missing tool", denied("bash: make: command not found")],
    ["of the network", denied("Error: connect ECONNREFUSED 127.0.0.1:5432")],
    ["of a permission", denied("make: ./build: Permission denied")],
    ["of an error without words", denied("1 2 3")]
  ])("takes nothing for a fix of a failure: %s", (_, session) => {
    assert.deepStrictEqual(observed(session, "fix"), [])
  })

  it("records no error of a call that was denied, and none of availability", () => {
    for (const error of ["The user doesn't want to proceed with this tool use.", "npm: command not found"]) {
      assert.deepStrictEqual(observed(denied(error), "error"), [])
      assert.deepStrictEqual(
        observed(denied(error), "command").filter(
          ({ evidence }) => evidence.failed !== 0 && error.startsWith("The user")
        ),
        []
      )
    }
  })

  it("counts the runs of commands with a purpose, and no others", () => {
    const session = new Session("s")
      .succeeds("pnpm vitest run")
      .fails("pnpm vitest run", "boom")
      .succeeds("git push")
      .succeeds("ls src/test")
      .succeeds("npm publish --tag test")
      .succeeds("rm -rf build/")
      .succeeds("cargo clippy --all-targets")
    assert.deepStrictEqual(
      observed(session, "command").map(({ evidence: { failed, failing, succeeded }, text }) => [
        text,
        succeeded,
        failed,
        failing
      ]),
      [
        ["test: pnpm vitest run", 1, 1, 1],
        ["lint: cargo clippy --all-targets", 1, 0, 0]
      ]
    )
  })

  it("trusts a command of two sessions that succeeds in 80 % and last", () => {
    assert.strictEqual(confidence(runs("a", 1, 9, 0)), 0)
    assert.strictEqual(confidence(runs("a", 1, 3, 0), runs("b", 2, 1, 1)), 0.8)
    assert.strictEqual(confidence(runs("a", 1, 2, 0), runs("b", 2, 1, 1)), 0)
    assert.strictEqual(confidence(runs("a", 1, 9, 0), runs("b", 2, 1, 1, 1)), 0)
  })

  it("halves the weight of a fact with its age, and drops a command after 30 days", () => {
    assert.strictEqual(Fact.weight(fact("preference"), 1_000 * day), 0.8)
    assert.strictEqual(Fact.weight(fact("fix"), 90 * day), 0.4)
    assert.isAbove(Fact.weight(fact("fix", { proofs: 4 }), 90 * day), 0.5)
    assert.isAbove(Fact.weight(fact("fix", { useful: 4 }), 90 * day), 0.5)
    assert.strictEqual(Fact.weight(fact("command"), 31 * day), 0)
    assert.strictEqual(Fact.weight(fact("preference", { endedAt: 5 }), 0), 0)
  })
})

function flaky(): Session {
  return new Session("s")
    .fails("make", "error: boom")
    .succeeds("make")
    .fails("make", "error: boom")
    .edit("/w/a")
    .succeeds("make")
}

function manyCalls(): Session {
  const session = new Session("s").fails("make", "error: boom").edit("/w/a")
  for (let n = 0; n < 20; n++) session.succeeds(`echo ${n}`)
  return session.succeeds("make")
}

function denied(error: string): Session {
  return new Session("s").fails("make", error).edit("/w/a").succeeds("make")
}
