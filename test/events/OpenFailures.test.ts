/**
 * The error of a spool that can't be opened contains the system's cause and nothing else.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TempFolder from "../utils/TempFolder.ts"
import * as Kit from "./RecorderKit.ts"

const cases: ReadonlyArray<
  readonly [what: string, filename: (folder: string) => string, prepare: (folder: string) => void, reason: RegExp]
> = [
  [
    "its folder is missing",
    (folder) => path.join(folder, "no", "spool"),
    () => {},
    /its folder does not exist \(ENOENT\)/
  ],
  [
    "a part of its path is a file",
    (folder) => path.join(folder, "file", "spool"),
    (folder) => fs.writeFileSync(path.join(folder, "file"), ""),
    /a part of its path is a file \(ENOTDIR\)/
  ],
  [
    "it is a folder",
    (folder) => path.join(folder, "spool"),
    (folder) => fs.mkdirSync(path.join(folder, "spool")),
    /a folder has this name \(EISDIR\)/
  ],
  [
    "its path is a loop",
    (folder) => path.join(folder, "loop", "spool"),
    (folder) => fs.symlinkSync(path.join(folder, "loop"), path.join(folder, "loop")),
    /a loop of links \(ELOOP\)/
  ]
]

for (const [what, filename, prepare, reason] of cases) {
  it.effect(`a recording says so where ${what}`, () =>
    Effect.gen(function* () {
      yield* Kit.reset
      const folder = yield* TempFolder.make
      prepare(folder)
      const context = yield* Layer.build(
        Kit.recorder(folder, { filename: filename(folder), drain: false }).pipe(
          Layer.provideMerge(Kit.database(folder))
        )
      )
      const error = yield* Effect.flip(Context.get(context, Kit.Ticks).stats)
      assert.strictEqual(error.reason._tag, "SpoolUnavailable")
      assert.match(error.message, reason)
    }).pipe(Effect.scoped)
  )
}
