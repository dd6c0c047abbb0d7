import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as HookFileSystem from "../../src/hookProcess/hookFileSystem.ts"
import * as Repository from "../../src/hooks/Repository.ts"
import * as GitLayout from "../utils/GitLayout.ts"

for (const [name, files] of [
  ["node", NodeFileSystem.layer],
  ["hook", HookFileSystem.layer]
] as const) {
  const find = (folder: string) => Repository.find(folder).pipe(Effect.provide(Layer.merge(files, NodePath.layer)))
  const projectOf = (folder: string) => Effect.map(find(folder), ({ project }) => project.path)

  describe(`Repository on the file system of ${name}`, () => {
    it.effect("is the enclosing repository", () =>
      Effect.gen(function* () {
        const { at, folder, link, repository } = yield* GitLayout.make
        repository("shop", ".git")
        folder("shop", "src", "deep")
        link(at("shop"), "link")
        for (const one of [at("shop"), at("shop", "src", "deep"), at("link", "src")]) {
          const { project, worktreePath } = yield* find(one)
          assert.deepStrictEqual([project.path, project.name, worktreePath], [at("shop"), "shop", at("shop")])
        }
        // Inside of what is git's own as well.
        assert.strictEqual(yield* projectOf(at("shop", ".git", "refs")), at("shop"))
      })
    )

    it.effect("is one for all worktrees", () =>
      Effect.gen(function* () {
        const { at, folder, repository, worktree } = yield* GitLayout.make
        repository("shop", ".git")
        worktree(at("shop", ".git"), "feature", at("feature"))
        folder("feature", "src")
        assert.deepStrictEqual((yield* find(at("feature", "src"))).worktreePath, at("feature"))
        worktree(at("shop", ".git"), "inside", at("shop", "trees", "inside"))
        worktree(at("shop", ".git"), "relative", at("relative"), { relative: true })
        for (const one of [at("feature", "src"), at("shop", "trees", "inside"), at("relative")]) {
          assert.strictEqual(yield* projectOf(one), at("shop"))
        }
        repository("bare.git")
        worktree(at("bare.git"), "main", at("main"))
        assert.strictEqual(yield* projectOf(at("main")), at("bare.git"))
        assert.strictEqual(yield* projectOf(at("bare.git", "worktrees", "main")), at("bare.git"))
      })
    )

    it.effect("is one for a folder around a bare repository, its worktrees, and the repository", () =>
      Effect.gen(function* () {
        const { at, file, repository, worktree } = yield* GitLayout.make
        for (const bare of [".bare", "deep/er/.git-data"]) {
          const hub = `hub-${bare.length}`
          repository(hub, ...bare.split("/"))
          file(`gitdir: ./${bare}\n`, hub, ".git")
          worktree(at(hub, ...bare.split("/")), "main", at(hub, "main"))
          worktree(at(hub, ...bare.split("/")), "far", at(`far-${bare.length}`))
          for (const one of [[hub], [hub, "main"], [`far-${bare.length}`], [hub, ...bare.split("/")]]) {
            assert.strictEqual(yield* projectOf(at(...one)), at(hub), one.join("/"))
          }
        }
      })
    )

    it.effect("is one for a submodule, its worktrees, and itself in a worktree of its parent", () =>
      Effect.gen(function* () {
        const { at, file, repository, worktree } = yield* GitLayout.make
        repository("sup", ".git")
        repository("sup", ".git", "modules", "lib")
        file("[core]\n\tworktree = ../../../libs/lib\n", "sup", ".git", "modules", "lib", "config")
        file("gitdir: ../../.git/modules/lib\n", "sup", "libs", "lib", ".git")
        worktree(at("sup", ".git", "modules", "lib"), "sub-wt", at("sub-wt"))
        worktree(at("sup", ".git"), "wt", at("sup-wt"))
        const inside = at("sup", ".git", "worktrees", "wt", "modules", "lib")
        repository("sup", ".git", "worktrees", "wt", "modules", "lib")
        fs.writeFileSync(path.join(inside, "config"), `[core]\n\tworktree = ${at("sup-wt", "libs", "lib")}\n`)
        file(`gitdir: ${inside}\n`, "sup-wt", "libs", "lib", ".git")
        worktree(inside, "deeper", at("deeper"))
        for (const one of [["sup", "libs", "lib"], ["sub-wt"], ["sup-wt", "libs", "lib"], ["deeper"]]) {
          assert.strictEqual(yield* projectOf(at(...one)), at("sup", "libs", "lib"), one.join("/"))
        }
        assert.strictEqual(yield* projectOf(at("sup-wt")), at("sup"))
      })
    )

    it.effect("is the separate git folder for its recorded worktree", () =>
      Effect.gen(function* () {
        const { at, file, link, repository, worktree } = yield* GitLayout.make
        repository("kept.gitdir")
        file("x\n", "apart", "a.txt")
        file(`gitdir: ${at("kept.gitdir")}\n`, "apart", ".git")
        worktree(at("kept.gitdir"), "wt", at("apart-wt"))
        // Without a file that it recorded there is nothing that tells another worktree from its own.
        assert.strictEqual(yield* projectOf(at("apart")), at("kept.gitdir"))
        GitLayout.recordFiles(at("kept.gitdir"), at("apart"), ["a.txt"])
        assert.strictEqual(yield* projectOf(at("apart")), at("kept.gitdir"))
        assert.strictEqual(yield* projectOf(at("apart-wt")), at("kept.gitdir"))
        file("x\n", "forged", "a.txt")
        file(`gitdir: ${at("kept.gitdir")}\n`, "forged", ".git")
        const { mtime } = fs.statSync(at("apart", "a.txt"))
        fs.utimesSync(at("forged", "a.txt"), mtime, mtime)
        assert.strictEqual(yield* projectOf(at("forged")), at("forged"))
        file("x\n", "forged-link", "a.txt")
        link(at("kept.gitdir"), "forged-link", ".git")
        assert.strictEqual(yield* projectOf(at("forged-link")), at("forged-link"))
      })
    )

    it.effect("rejects a folder that only claims to be a worktree", () =>
      Effect.gen(function* () {
        const { at, file, folder, link, repository, worktree } = yield* GitLayout.make
        repository("victim", ".git")
        worktree(at("victim", ".git"), "feature", at("feature"))
        repository("bare.git")
        file("[core]\n\tbare = true\n", "bare.git", "config")
        repository("sup", ".git")
        repository("sup", ".git", "modules", "lib")
        file("[core]\n\tworktree = ../../../lib\n", "sup", ".git", "modules", "lib", "config")
        file("gitdir: ../.git/modules/lib\n", "sup", "lib", ".git")

        // A folder of its own that names the repository of another as the one that it shares.
        const forge = (name: string, common: string, isWhole: boolean) => {
          file("gitdir: x\n", name, ".git")
          file(`${common}\n`, name, "x", "commondir")
          if (isWhole) file("ref: refs/heads/main\n", name, "x", "HEAD")
          file(`${at(name, ".git")}\n`, name, "x", "gitdir")
        }
        forge("evil-1", at("victim", ".git"), false)
        forge("evil-2", at("victim", ".git"), true)
        forge("evil-3", "../../victim/.git", true)
        // A worktree that another folder already is, and repositories that are no worktree's.
        file(`gitdir: ${at("victim", ".git", "worktrees", "feature")}\n`, "evil-4", ".git")
        file(`gitdir: ${at("victim", ".git")}\n`, "evil-5", ".git")
        file(`gitdir: ${at("bare.git")}\n`, "evil-6", ".git")
        file(`gitdir: ${at("sup", ".git", "modules", "lib")}\n`, "evil-7", ".git")
        folder("evil-8")
        link(at("victim", ".git"), "evil-8", ".git")
        // A folder of git with all that it needs, which shares another's.
        repository("evil-9", ".git")
        file(`${at("victim", ".git")}\n`, "evil-9", ".git", "commondir")
        // Through a link to the victim's worktrees, and by a name that leads out of them.
        folder("evil-10", "g")
        link(at("victim", ".git", "worktrees"), "evil-10", "g", "worktrees")
        file("gitdir: g/worktrees/feature\n", "evil-10", ".git")
        for (let n = 1; n <= 10; n++) {
          folder(`evil-${n}`, "src")
          assert.strictEqual(yield* projectOf(at(`evil-${n}`, "src")), at(`evil-${n}`), `evil-${n}`)
        }
        // A repository of its own whose settings name the victim's folder, and its worktree.
        repository("evil-11", "g")
        file(`[core]\n\tworktree = ${at("victim")}\n`, "evil-11", "g", "config")
        worktree(at("evil-11", "g"), "w", at("evil-11", "w"))
        assert.strictEqual(yield* projectOf(at("evil-11", "w")), at("evil-11", "g"))
        // A submodule of its own whose worktree is not where the outer one is.
        repository("evil-12", ".git")
        folder("evil-12", ".git", "worktrees", "w")
        file(`${at("evil-13", ".git")}\n`, "evil-12", ".git", "worktrees", "w", "gitdir")
        repository("evil-12", ".git", "worktrees", "w", "modules", "m")
        const module = at("evil-12", ".git", "worktrees", "w", "modules", "m")
        fs.writeFileSync(path.join(module, "config"), `[core]\n\tworktree = ${at("evil-12", "sub")}\n`)
        file(`gitdir: ${module}\n`, "evil-12", "sub", ".git")
        folder("evil-13")
        assert.strictEqual(yield* projectOf(at("evil-12", "sub")), at("evil-12", "sub"))
      })
    )

    it.effect("rejects a worktree moved by hand until git is repaired", () =>
      Effect.gen(function* () {
        const { at, file, repository, worktree } = yield* GitLayout.make
        repository("shop", ".git")
        worktree(at("shop", ".git"), "feature", at("feature"))
        fs.renameSync(at("feature"), at("elsewhere"))
        assert.strictEqual(yield* projectOf(at("elsewhere")), at("elsewhere"))
        file(`${at("elsewhere", ".git")}\n`, "shop", ".git", "worktrees", "feature", "gitdir")
        assert.strictEqual(yield* projectOf(at("elsewhere")), at("shop"))
        // The other end: the repository was moved, and the worktree leads nowhere.
        fs.renameSync(at("shop"), at("store"))
        assert.strictEqual(yield* projectOf(at("elsewhere")), at("elsewhere"))
      })
    )

    it.effect("is the innermost repository that git accepts", () =>
      Effect.gen(function* () {
        const { at, folder, repository } = yield* GitLayout.make
        repository("outer", ".git")
        folder("outer", "left", ".git")
        folder("outer", "left", "deep")
        repository("outer", "inner", ".git")
        assert.strictEqual(yield* projectOf(at("outer", "left", "deep")), at("outer"))
        assert.strictEqual(yield* projectOf(at("outer", "inner")), at("outer", "inner"))
        folder("left", ".git")
        folder("left", "project")
        assert.strictEqual(yield* projectOf(at("left", "project")), at("left", "project"))
        folder("plain", "notes")
        assert.deepStrictEqual(yield* find(at("plain", "notes")), {
          project: { path: at("plain", "notes"), name: "notes" },
          worktreePath: at("plain", "notes")
        })
        assert.strictEqual((yield* find("/")).project.name, "/")
      })
    )

    it.effect("opens regular files only", () =>
      Effect.gen(function* () {
        const { at, file, folder, repository, worktree } = yield* GitLayout.make
        repository("shop", ".git")
        worktree(at("shop", ".git"), "feature", at("feature"))
        const pipe = (...parts: ReadonlyArray<string>) => {
          folder(...parts.slice(0, -1))
          execFileSync("mkfifo", [at(...parts)])
          // Gives back what reads the pipe where it was opened all the same.
          return Effect.addFinalizer(() =>
            Effect.sync(() => fs.closeSync(fs.openSync(at(...parts), fs.constants.O_RDWR)))
          )
        }
        yield* pipe("pipe", ".git")
        assert.strictEqual(yield* projectOf(at("pipe")), at("pipe"))
        yield* pipe("head", ".git", "HEAD")
        assert.strictEqual(yield* projectOf(at("head")), at("head"))
        repository("log", ".git")
        yield* pipe("log", ".git", "logs", "HEAD")
        yield* pipe("log", ".git", "config")
        assert.strictEqual(yield* projectOf(at("log")), at("log"))
        file(`gitdir: ${at("shop", ".git", "worktrees", "feature")}\n`.padEnd(100_000), "large", ".git")
        assert.strictEqual(yield* projectOf(at("large")), at("large"))
        file("gitdir: a\u0000b\n", "zero", ".git")
        assert.strictEqual(yield* projectOf(at("zero")), at("zero"))
      })
    )

    it.effect("has three marks: remote, first commit, folder", () =>
      Effect.gen(function* () {
        const { at, file, repository, worktree } = yield* GitLayout.make
        repository("shop", ".git")
        const root = "1a68a85d559b1f20574b72930ebead47236ac01e"
        file('[remote "origin"]\n\turl = https://me:secret@Git.Example/shop.git\n', "shop", ".git", "config")
        file(`${"0".repeat(40)} ${root} a <a@b> 1 +0000\tcommit (initial): x\nmore\n`, "shop", ".git", "logs", "HEAD")
        worktree(at("shop", ".git"), "feature", at("feature"))
        const { marks } = (yield* find(at("shop"))).project
        assert.deepStrictEqual([marks?.remote, marks?.root], ["git.example/shop", root])
        assert.match(marks?.instance ?? "", /^\d+-\d+$/)
        assert.deepStrictEqual((yield* find(at("feature"))).project.marks, marks)
        fs.renameSync(at("shop"), at("moved"))
        assert.deepStrictEqual((yield* find(at("moved"))).project.marks, marks)
        // A folder that is not known to the repository has none of it.
        file(`gitdir: ${at("moved", ".git")}\n`, "forged", ".git")
        assert.isUndefined((yield* find(at("forged"))).project.marks)
      })
    )

    it.effect("reports a missing folder", () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(find("/no/such/folder"))
        assert.strictEqual(error._tag, "FolderNotFound")
        assert.include(error.message, '"/no/such/folder"')
        assert.strictEqual((yield* Effect.flip(find("/tmp/a\u0000b")))._tag, "FolderNotFound")
      })
    )

    it.effect.skipIf(!GitLayout.hasGit)("agrees with git in layouts that git creates", () =>
      Effect.gen(function* () {
        const { at } = yield* GitLayout.make
        const layouts = GitLayout.byGit(at)
        for (const [one, project] of layouts) {
          assert.strictEqual(yield* projectOf(one), project, path.relative(at(), one))
        }
        // Folders of one project share one folder of git, but for submodules, of which each worktree has its own.
        const commons = new Map<string, string>()
        for (const [one, project] of layouts.filter(([one]) => !one.includes("libs"))) {
          const common = GitLayout.commonFolder(one)
          assert.strictEqual(commons.get(common) ?? project, project)
          commons.set(common, project)
        }
      })
    )
  })
}
