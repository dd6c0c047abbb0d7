import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as HookFileSystem from "../../src/cli/HookFileSystem.ts"
import * as Repository from "../../src/hooks/Repository.ts"
import * as TempFolder from "../utils/TempFolder.ts"

/** Files and folders as git lays them out: a repository with a linked worktree, a submodule, and a bare one. */
const layout = Effect.gen(function* () {
  const root = fs.realpathSync(yield* TempFolder.make)
  const at = (...parts: ReadonlyArray<string>) => path.join(root, ...parts)
  const folder = (...parts: ReadonlyArray<string>) => fs.mkdirSync(at(...parts), { recursive: true })
  const file = (text: string, ...parts: ReadonlyArray<string>) => {
    folder(...parts.slice(0, -1))
    fs.writeFileSync(at(...parts), text)
  }
  folder("shop", "src", "deep")
  file("../..\n", "shop", ".git", "worktrees", "feature", "commondir")
  file(`gitdir: ${at("shop", ".git", "worktrees", "feature")}\n`, "feature", ".git")
  folder("feature", "src")
  folder("shop", ".git", "modules", "lib")
  file("gitdir: ../.git/modules/lib\n", "shop", "lib", ".git")
  folder("bare.git", "worktrees", "main")
  file("../..\n", "bare.git", "worktrees", "main", "commondir")
  file(`gitdir: ${at("bare.git", "worktrees", "main")}\n`, "main", ".git")
  folder("plain", "notes")
  fs.symlinkSync(at("shop"), at("link"))
  return { root, at }
})

for (const [name, files] of [
  ["node", NodeFileSystem.layer],
  ["hook", HookFileSystem.layer]
] as const) {
  const find = (folder: string) => Repository.find(folder).pipe(Effect.provide(Layer.merge(files, NodePath.layer)))

  describe(`Repository on the file system of ${name}`, () => {
    it.effect("is the repository that a folder is in", () =>
      Effect.gen(function* () {
        const { at } = yield* layout
        const shop = { project: { path: at("shop"), name: "shop" }, worktreePath: at("shop") }
        assert.deepStrictEqual(yield* find(at("shop")), shop)
        assert.deepStrictEqual(yield* find(at("shop", "src", "deep")), shop)
        assert.deepStrictEqual(yield* find(at("link", "src")), shop)
      })
    )

    it.effect("is one for all worktrees", () =>
      Effect.gen(function* () {
        const { at } = yield* layout
        assert.deepStrictEqual(yield* find(at("feature", "src")), {
          project: { path: at("shop"), name: "shop" },
          worktreePath: at("feature")
        })
        assert.deepStrictEqual(yield* find(at("main")), {
          project: { path: at("bare.git"), name: "bare.git" },
          worktreePath: at("main")
        })
      })
    )

    it.effect("is its own for a submodule, and the folder itself outside of any", () =>
      Effect.gen(function* () {
        const { at } = yield* layout
        assert.strictEqual((yield* find(at("shop", "lib"))).project.path, at("shop", "lib"))
        assert.deepStrictEqual(yield* find(at("plain", "notes")), {
          project: { path: at("plain", "notes"), name: "notes" },
          worktreePath: at("plain", "notes")
        })
        assert.strictEqual((yield* find("/")).project.name, "/")
      })
    )

    it.effect("does not open what can't be a file of git, such as a pipe", () =>
      Effect.gen(function* () {
        const { at } = yield* layout
        fs.mkdirSync(at("pipe"))
        execFileSync("mkfifo", [at("pipe", ".git")])
        // Gives back what reads the pipe where it was opened all the same.
        yield* Effect.addFinalizer(() =>
          Effect.sync(() => fs.closeSync(fs.openSync(at("pipe", ".git"), fs.constants.O_RDWR)))
        )
        const here = { project: { path: at("pipe"), name: "pipe" }, worktreePath: at("pipe") }
        assert.deepStrictEqual(yield* find(at("pipe")), here)
        fs.mkdirSync(at("large"))
        fs.writeFileSync(at("large", ".git"), `gitdir: ${at("shop", ".git", "worktrees", "feature")}\n`.padEnd(100_000))
        assert.strictEqual((yield* find(at("large"))).project.path, at("large"))
      })
    )

    it.effect("says so where the folder does not exist", () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(find("/no/such/folder"))
        assert.strictEqual(error._tag, "FolderNotFound")
        assert.include(error.message, '"/no/such/folder"')
        assert.strictEqual((yield* Effect.flip(find("/tmp/a\u0000b")))._tag, "FolderNotFound")
      })
    )
  })
}
