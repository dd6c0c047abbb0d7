/**
 * `athena stop`, beside a resident process that ends, one that does not, and none.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { startTimeOf } from "../../src/daemon/internal/processStartTime.ts"
import type { Holding } from "../daemon/holder.ts"
import * as Cli from "../utils/Cli.ts"
import * as FakeDaemon from "../utils/FakeDaemon.ts"
import * as Worker from "../utils/Worker.ts"

const module = path.join(import.meta.dirname, "..", "daemon", "holder.ts")
const hold = (holding: Holding) => Worker.start(module, [JSON.stringify(holding)])

describe("athena stop", () => {
  it.live("reports that nothing runs, and creates nothing", () =>
    Effect.gen(function* () {
      const { env, home } = yield* Cli.scratch
      const { code, stdout } = yield* Cli.run(["stop"], { env })
      assert.deepStrictEqual([code, stdout], [0, "the daemon is not running\n"])
      assert.isFalse(fs.existsSync(path.join(home, "daemon")))
      yield* (yield* hold({ home, version: "0.1.0" })).kill
      assert.include((yield* Cli.run(["stop"], { env })).stdout, "not running")
    }).pipe(Effect.scoped)
  )

  it.live("reports a stop after the process has ended", () =>
    Effect.gen(function* () {
      const { env, home } = yield* Cli.scratch
      const holder = yield* hold({ home, version: "0.1.0" })
      const { code, stdout } = yield* Cli.run(["stop", "--json"], { env })
      // Not only the lock is free.
      assert.isNull(startTimeOf(holder.pid))
      assert.strictEqual(code, 0)
      const { pid } = holder
      assert.deepStrictEqual(JSON.parse(stdout), { running: true, stopped: true, pid, problem: null })
      assert.strictEqual(yield* holder.ended, "")
      const again = yield* hold({ home, version: "0.1.0" })
      assert.include((yield* Cli.run(["stop"], { env })).stdout, `process ${again.pid}) has stopped`)
    }).pipe(Effect.scoped)
  )

  it.live("kills no process, and prints the next step", () =>
    Effect.gen(function* () {
      const cases = [
        [{ answers: false }, "accepts no requests"],
        [{ stops: false }, "did not stop within 10 seconds"],
        [{ refuses: 401 }, "rejected the request (status 401)"]
      ] as const
      const stop = Effect.fnUntraced(function* ([holding, why]: (typeof cases)[number]) {
        const { env, home } = yield* Cli.scratch
        const holder = yield* hold({ home, version: "0.1.0", ...holding })
        const { code, stdout } = yield* Cli.run(["stop"], { env })
        assert.strictEqual(code, 1)
        assert.include(stdout, why)
        assert.include(stdout, `kill -9 ${holder.pid}`)
        assert.notInclude(stdout, FakeDaemon.token)
        // Until now it was there.
        yield* holder.kill
        assert.include(yield* holder.ended, "SIGKILL")
      })
      yield* Effect.forEach(cases, stop, { concurrency: "unbounded", discard: true })
    }).pipe(Effect.scoped)
  )
})
