/**
 * The suite of the stores must fail for a store that breaks a promise.
 */
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TempFolder from "../utils/TempFolder.ts"

const root = path.join(import.meta.dirname, "..", "..")

interface Report {
  readonly testResults: ReadonlyArray<{
    readonly assertionResults: ReadonlyArray<{
      readonly ancestorTitles: ReadonlyArray<string>
      readonly status: "passed" | "failed"
    }>
  }>
}

/** Runs the suite on the broken stores, and counts the tests that fail for each. */
const failures = Effect.gen(function* () {
  const report = path.join(yield* TempFolder.make, "report.json")
  const vitest = path.join(root, "node_modules", "vitest", "vitest.mjs")
  const config = path.join(import.meta.dirname, "brokenStores.config.ts")
  const args = [vitest, "run", "--root", root, "--config", config, "--reporter", "json", "--outputFile", report]
  const output = yield* Effect.callback<string>((resume) => {
    execFile(process.execPath, args, (_, stdout, stderr) => resume(Effect.succeed(stdout + stderr)))
  })
  assert.isTrue(fs.existsSync(report), output)
  const { testResults } = JSON.parse(fs.readFileSync(report, "utf8")) as Report
  const counts: Record<string, number> = {}
  for (const { ancestorTitles, status } of testResults.flatMap((result) => result.assertionResults)) {
    const name = ancestorTitles.join().replace("CacheStore: ", "")
    counts[name] = (counts[name] ?? 0) + (status === "failed" ? 1 : 0)
  }
  return counts
})

describe("CacheStoreSuite", () => {
  it.live("passes a correct store and fails each broken one", () =>
    Effect.gen(function* () {
      const { nothing, ...broken } = yield* failures
      assert.strictEqual(nothing, 0)
      assert.isAbove(Object.keys(broken).length, 10)
      const unnoticed = Object.keys(broken).filter((name) => broken[name] === 0)
      assert.deepStrictEqual(unnoticed, [])
    })
  )
})
