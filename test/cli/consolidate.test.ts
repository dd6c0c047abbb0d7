/**
 * `athena consolidate` after hooks without a daemon, and what the next session start receives.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fixtures from "../utils/Fixtures.ts"
import * as Cli from "../utils/Cli.ts"

describe("athena consolidate", () => {
  it.live("derives facts from recorded sessions, which the next session start receives", () =>
    Effect.gen(function* () {
      const { env } = yield* Cli.scratch
      const athena = (args: ReadonlyArray<string>, input?: unknown) =>
        Cli.run(args, {
          env: { ...env, ATHENA_DAEMON: "off" },
          ...(input === undefined ? {} : { input: JSON.stringify(input) })
        })
      assert.strictEqual((yield* athena(["consolidate"])).stdout, "no database yet\n")
      const cwd = import.meta.dirname
      const prompt = { cwd, session_id: "s-1", prompt: "fix the parser. always use pnpm here" }
      yield* athena(["hook"], Fixtures.body("UserPromptSubmit.plain", prompt))
      assert.match((yield* athena(["consolidate"])).stdout, /^consolidated 1 session: 1 observation\n$/)
      assert.match((yield* athena(["consolidate"])).stdout, /^consolidated 0 sessions: 0 observations\n$/)
      const again = JSON.parse((yield* athena(["consolidate", "--rebuild", "--json"])).stdout)
      assert.deepStrictEqual(again, { sessions: 1, observations: 1, isOwner: true })
      const [fact] = JSON.parse((yield* Cli.run(["facts", "--json"], { env, cwd })).stdout)
      assert.deepStrictEqual([fact.kind, fact.proofs], ["preference", 1])
      const start = yield* athena(["hook"], Fixtures.body("SessionStart.startup", { cwd, session_id: "s-2" }))
      assert.include(
        JSON.parse(start.stdout).hookSpecificOutput.additionalContext,
        'the user said: "always use pnpm here"'
      )
      const forget = Cli.run(["facts", "forget", String(fact.id)], { env, cwd })
      assert.strictEqual((yield* forget).code, 0)
      assert.include((yield* forget).stderr, `no current fact ${fact.id}`)
      yield* athena(["consolidate", "--rebuild"])
      assert.include((yield* Cli.run(["facts"], { env, cwd })).stdout, "no facts")
    }).pipe(Effect.scoped)
  )
})
