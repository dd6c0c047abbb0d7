/**
 * A small disk that is mounted for a test, where this user may mount one.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TempFolder from "./TempFolder.ts"

const tryMount = (folder: string, size: string): boolean => {
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", folder], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
}

export const canMount: boolean = ((): boolean => {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return false
  const folder = fs.mkdtempSync("/tmp/athena-mount-")
  const mounted = tryMount(folder, "64k")
  if (mounted) execFileSync("umount", [folder])
  fs.rmdirSync(folder)
  return mounted
})()

/** The folder of a disk of a size such as `4m`, in the scope. */
export const make = (size: string) =>
  Effect.gen(function* () {
    const folder = path.join(fs.realpathSync(yield* TempFolder.make), "disk")
    fs.mkdirSync(folder)
    return yield* Effect.acquireRelease(
      Effect.sync(() => {
        assert.isTrue(tryMount(folder, size))
        return folder
      }),
      () => Effect.sync(() => execFileSync("umount", [folder]))
    )
  })
