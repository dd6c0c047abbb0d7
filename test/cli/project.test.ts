/**
 * `athena project`, as a person or a program runs it.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Cli from "../utils/Cli.ts"

describe("athena project", () => {
  it.live("lists, moves and merges projects, and changes nothing without confirmation", () =>
    Effect.gen(function* () {
      const { env, folder, home, project } = yield* Cli.scratch
      const run = (...args: ReadonlyArray<string>) => Cli.run(args, { env, cwd: project })
      const json = (...args: ReadonlyArray<string>) =>
        Effect.map(run(...args, "--json"), ({ code, stderr, stdout }) => {
          assert.strictEqual(code, 0, stderr)
          return JSON.parse(stdout)
        })
      assert.deepStrictEqual(yield* json("project", "list"), [])
      assert.isFalse(fs.existsSync(path.join(home, "athena.db")))

      const other = path.join(folder, "other\nshop")
      fs.mkdirSync(other)
      yield* run("remember", "the shop deploys at noon")
      yield* Cli.run(["remember", "the other shop too"], { env, cwd: other })
      fs.renameSync(other, path.join(folder, "moved"))
      const [first, second] = yield* json("project", "list")
      assert.deepStrictEqual(
        [first, second].map(({ events, id, missing, path }) => [id, path, events, missing]),
        [
          [2, other, 1, true],
          [1, project, 1, false]
        ]
      )
      const text = (yield* run("project", "list")).stdout
      assert.match(text, /^ +2 "other\\nshop" {2}"[^"\n]+other\\nshop" {2}MISSING\n/)

      // Where nobody can be asked, nothing is done.
      const moved = path.join(folder, "moved")
      for (const args of [
        ["move", "2", moved],
        ["merge", "2", "1"]
      ]) {
        const refused = yield* run("project", ...args)
        assert.deepStrictEqual([refused.code, refused.stdout], [1, ""])
        assert.include(refused.stderr, "--yes")
        assert.strictEqual((yield* json("project", ...args, "--dry-run")).dryRun, true)
      }
      assert.strictEqual((yield* json("project", "list"))[0].path, other)
      for (const [args, why] of [
        [["move", "7", moved], "there is no project"],
        [["move", "2", project], "athena project merge"],
        [["merge", "2", "2"], "same project"],
        [["merge", "2", "nowhere"], "there is no project"]
      ] as const) {
        const refused = yield* run("project", ...args, "--yes")
        assert.strictEqual(refused.code, 1)
        assert.include(refused.stderr, why)
      }

      assert.strictEqual((yield* json("project", "move", other, moved, "--yes")).path, moved)
      assert.include((yield* Cli.run(["search", "shop"], { env, cwd: moved })).stdout, "the other shop too")
      assert.strictEqual((yield* json("project", "merge", moved, "1", "--yes")).events, 1)
      assert.strictEqual((yield* json("search", "shop")).found, 2)
      assert.deepStrictEqual(
        (yield* json("project", "list")).map(({ id }: { readonly id: number }) => id),
        [1]
      )
    })
  )
})
