/**
 * `athena doctor`: checks the dependencies of memory and hooks, and names the next step for each problem.
 */
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import type { Check } from "../../doctor/check.ts"
import * as Doctor from "../../doctor/doctor.ts"
import * as Output from "../output.ts"

const symbols = { ok: "ok     ", warning: "warning", failed: "FAILED " } as const

const lines = (checks: ReadonlyArray<Check>): ReadonlyArray<string> =>
  checks.flatMap((check) => [
    `${symbols[check.status]} ${check.name.padEnd(14)} ${check.detail}`,
    ...(check.advice === undefined ? [] : [`${" ".repeat(23)}-> ${check.advice}`])
  ])

export const doctor = Command.make(
  "doctor",
  { json: Output.json },
  Effect.fnUntraced(function* ({ json }) {
    const checks = yield* Doctor.run
    const healthy = checks.every((check) => check.status !== "failed")
    yield* Output.print(json, { healthy, checks }, lines(checks))
    if (!healthy) process.exitCode = 1
  })
).pipe(Command.withDescription("Check the dependencies of memory and hooks; exit code 1 if a check fails"))
