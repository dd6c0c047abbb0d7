/**
 * Which memory a session gets whose repository was moved, copied, or is where another one was.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Relocation from "../../src/hooks/Relocation.ts"
import * as Repository from "../../src/hooks/Repository.ts"
import * as MemoryBridge from "../../src/memory/MemoryBridge.ts"
import * as Project from "../../src/memory/Project.ts"
import * as Sqlite from "../../src/sql/Sqlite.ts"
import * as GitLayout from "../utils/GitLayout.ts"

const Live = Layer.mergeAll(
  MemoryBridge.layerSql.pipe(Layer.provide(Sqlite.layer({ filename: ":memory:" }))),
  NodeServices.layer
)

/** The project that a session in a folder gets. */
const projectOf = Effect.fnUntraced(function* (folder: string) {
  const memory = yield* MemoryBridge.MemoryBridge
  const project = Project.make((yield* Repository.find(folder)).project)
  yield* Relocation.reconcile(project)
  return yield* memory.ensureProject(project)
})

interface Repo {
  readonly remote?: string
  readonly root?: string
}

const setUp = Effect.gen(function* () {
  const { at, file, repository } = yield* GitLayout.make
  const init = (name: string, { remote, root }: Repo) => {
    repository(name, ".git")
    if (remote !== undefined) file(`[remote "origin"]\n\turl = ${remote}\n`, name, ".git", "config")
    if (root !== undefined) {
      const step = `${"0".repeat(40)} ${root.repeat(40)} a <a@b> 1 +0000\tcommit (initial): x\n`
      file(step, name, ".git", "logs", "HEAD")
    }
  }
  const move = (from: string, to: string) => fs.renameSync(at(from), at(to))
  return { at, init, move }
})

const withMemory = <A, E>(effect: Effect.Effect<A, E, Layer.Success<typeof Live> | Scope.Scope>) =>
  Effect.provide(Effect.scoped(effect), Live)

describe("a repository", () => {
  for (const [what, one, other] of [
    ["by the remote", { remote: "https://git.example/shop.git" }, { remote: "https://git.example/payroll.git" }],
    ["by the first commit", { root: "a" }, { root: "b" }]
  ] as const) {
    it.live(`receives no memory of the former repository at its path, which follows that one: ${what}`, () =>
      withMemory(
        Effect.gen(function* () {
          for (const isAskedFirst of ["new", "moved"] as const) {
            const { at, init, move } = yield* setUp
            init("w", one)
            const shop = yield* projectOf(at("w"))
            move("w", "shop")
            init("w", other)
            const payroll = isAskedFirst === "new" ? yield* projectOf(at("w")) : undefined
            const moved = yield* projectOf(at("shop"))
            assert.strictEqual(moved.id, shop.id)
            assert.strictEqual(moved.path, at("shop"))
            const later = yield* projectOf(at("w"))
            assert.notStrictEqual(later.id, shop.id)
            assert.strictEqual(payroll?.id ?? later.id, later.id)
          }
        })
      )
    )
  }

  it.live("retains its memory across moves and disks", () =>
    withMemory(
      Effect.gen(function* () {
        const { at, init, move } = yield* setUp
        // Without a remote and a first commit the folder itself is known, on the same disk.
        init("bare", {})
        const bare = yield* projectOf(at("bare"))
        move("bare", "renamed")
        assert.strictEqual((yield* projectOf(at("renamed"))).id, bare.id)
        init("a", { remote: "git@git.example:me/a.git" })
        const one = yield* projectOf(at("a"))
        fs.cpSync(at("a"), at("b"), { recursive: true })
        fs.rmSync(at("a"), { recursive: true })
        assert.deepStrictEqual(yield* projectOf(at("b")), { id: one.id, name: "b", path: at("b") })
        init("a", { remote: "https://git.example/me/a" })
        fs.rmSync(at("b"), { recursive: true })
        assert.deepStrictEqual(yield* projectOf(at("a")), { id: one.id, name: "a", path: at("a") })
      })
    )
  )

  it.live("retains its memory with another remote and after a new clone at its path", () =>
    withMemory(
      Effect.gen(function* () {
        const { at, init } = yield* setUp
        init("a", { remote: "https://old.example/a.git", root: "a" })
        const one = yield* projectOf(at("a"))
        init("a", { remote: "https://new.example/b.git" })
        assert.strictEqual((yield* projectOf(at("a"))).id, one.id)
        fs.rmSync(at("a"), { recursive: true })
        init("a", { remote: "ssh://git@new.example/b" })
        assert.strictEqual((yield* projectOf(at("a"))).id, one.id)
      })
    )
  )

  it.live("is a separate project as a second clone and with copied marks", () =>
    withMemory(
      Effect.gen(function* () {
        const { at, init } = yield* setUp
        init("a", { remote: "https://git.example/a.git", root: "a" })
        init("b", { remote: "https://git.example/a.git", root: "a" })
        init("fork", { remote: "https://git.example/fork.git", root: "a" })
        const one = yield* projectOf(at("a"))
        assert.notStrictEqual((yield* projectOf(at("b"))).id, one.id)
        fs.rmSync(at("a"), { recursive: true })
        // Its remote is another, so it is no copy that was moved.
        assert.notStrictEqual((yield* projectOf(at("fork"))).id, one.id)
      })
    )
  )

  it.live("is not moved if a folder is unreadable", () =>
    withMemory(
      Effect.gen(function* () {
        const { at, init } = yield* setUp
        init("closed/a", { remote: "https://git.example/a.git" })
        const one = yield* projectOf(at("closed", "a"))
        fs.renameSync(at("closed"), at("hidden"))
        // What is in the way of a path is no proof that what was there is gone.
        fs.writeFileSync(at("closed"), "")
        init("b", { remote: "https://git.example/a.git" })
        assert.notStrictEqual((yield* projectOf(at("b"))).id, one.id)
        assert.strictEqual(path.basename(one.path), "a")
      })
    )
  )
})
