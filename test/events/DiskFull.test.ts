/**
 * A full disk: a small one is mounted, where the machine permits that.
 */
import { execFileSync } from "node:child_process"
import * as path from "node:path"
import { assert, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SmallDisk from "../utils/SmallDisk.ts"
import * as TempFolder from "../utils/TempFolder.ts"
import * as Kit from "./RecorderKit.ts"

const smallDisk = SmallDisk.make("512k")

const note = "x".repeat(1_000)

it.live.skipIf(!SmallDisk.canMount)(
  "distinguishes a full disk from a full spool, and delivers each acknowledged event",
  () =>
    Effect.gen(function* () {
      yield* Kit.reset
      const disk = yield* smallDisk
      const folder = yield* TempFolder.make
      const context = yield* Layer.build(
        Kit.recorder(folder, { filename: path.join(disk, "spool"), drain: false, whenFull: "fail" }).pipe(
          Layer.provideMerge(Kit.database(folder))
        )
      )
      const recorder = Context.get(context, Kit.Ticks)
      const acknowledged: Array<number> = []
      let n = 0
      for (let refused = 0; refused < 20; n++) {
        const exit = yield* Effect.result(recorder.record({ ...Kit.tick(n), note }))
        if (exit._tag === "Success") acknowledged.push(n)
        else {
          refused++
          assert.strictEqual(exit.failure.reason._tag, "DiskFull")
        }
      }
      assert.isAbove(acknowledged.length, 20)
      // The spooled events are delivered, though the acknowledgement can't be written yet.
      assert.strictEqual((yield* Effect.flip(recorder.flush())).reason._tag, "DiskFull")
      assert.deepStrictEqual(yield* Kit.storedNumbers.pipe(Effect.provide(context)), acknowledged)
      execFileSync("mount", ["-o", "remount,size=2m", disk])
      yield* recorder.record(Kit.tick(n), { ack: "committed" })
      const { left } = yield* recorder.flush()
      assert.strictEqual(left, 0)
      assert.deepStrictEqual(yield* Kit.storedNumbers.pipe(Effect.provide(context)), [...acknowledged, n])
    }).pipe(Effect.scoped)
)
