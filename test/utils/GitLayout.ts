/**
 * Folders as git lays them out, by hand and by git itself.
 */
import { execFileSync, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as TempFolder from "./TempFolder.ts"

/** Whether git is on this machine. */
export const hasGit: boolean = spawnSync("git", ["--version"]).status === 0

const env = (root: string) => ({
  PATH: process.env["PATH"] ?? "",
  HOME: root,
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_AUTHOR_NAME: "a",
  GIT_AUTHOR_EMAIL: "a@example.com",
  GIT_COMMITTER_NAME: "a",
  GIT_COMMITTER_EMAIL: "a@example.com"
})

/** Runs git in a folder. */
export const git = (folder: string, ...args: ReadonlyArray<string>): string =>
  execFileSync("git", ["-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main", ...args], {
    cwd: folder,
    env: env(folder),
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"]
  })

/** The folder that all worktrees share, as git says. */
export const commonFolder = (folder: string): string =>
  fs.realpathSync(path.resolve(folder, git(folder, "rev-parse", "--git-common-dir").trim()))

/** Makes a linked worktree; both ends name each other. */
const worktree = (common: string, name: string, place: string, { relative = false } = {}): void => {
  const entry = path.join(common, "worktrees", name)
  fs.mkdirSync(entry, { recursive: true })
  fs.mkdirSync(place, { recursive: true })
  const named = (from: string, to: string) => (relative ? path.relative(from, to) : to)
  fs.writeFileSync(path.join(entry, "HEAD"), "ref: refs/heads/main\n")
  fs.writeFileSync(path.join(entry, "commondir"), "../..\n")
  fs.writeFileSync(path.join(entry, "gitdir"), `${named(entry, path.join(place, ".git"))}\n`)
  fs.writeFileSync(path.join(place, ".git"), `gitdir: ${named(place, entry)}\n`)
}

/** A folder to lay out, removed with the scope, and the means to do it. */
export const make = Effect.map(TempFolder.make, (temporary) => {
  const root = fs.realpathSync(temporary)
  const at = (...parts: ReadonlyArray<string>): string => path.join(root, ...parts)
  const folder = (...parts: ReadonlyArray<string>) => void fs.mkdirSync(at(...parts), { recursive: true })
  const file = (text: string, ...parts: ReadonlyArray<string>) => {
    folder(...parts.slice(0, -1))
    fs.writeFileSync(at(...parts), text)
  }
  /** A folder that git takes for its own. */
  const repository = (...parts: ReadonlyArray<string>) => {
    folder(...parts, "objects")
    folder(...parts, "refs")
    file("ref: refs/heads/main\n", ...parts, "HEAD")
  }
  const link = (target: string, ...parts: ReadonlyArray<string>) => fs.symlinkSync(target, at(...parts))
  return { at, folder, file, repository, link, worktree }
})

/** Writes the list of a worktree's files, as git does when it has looked at them. */
export const recordFiles = (repository: string, worktree: string, names: ReadonlyArray<string>): void => {
  const head = Buffer.alloc(12)
  head.write("DIRC")
  head.writeUInt32BE(2, 4)
  head.writeUInt32BE(names.length, 8)
  const entries = names.map((name) => {
    const { ino, mtimeMs } = fs.statSync(path.join(worktree, name), { bigint: true })
    const entry = Buffer.alloc(Math.ceil((62 + Buffer.byteLength(name) + 1) / 8) * 8)
    entry.writeUInt32BE(Number(mtimeMs / 1000n), 8)
    entry.writeUInt32BE(Number(BigInt.asUintN(32, ino)), 20)
    entry.writeUInt16BE(Buffer.byteLength(name), 60)
    entry.write(name, 62)
    return entry
  })
  fs.writeFileSync(path.join(repository, "index"), Buffer.concat([head, ...entries]))
}

/** Layouts that git makes: folders, and the project that each of them is of. */
export const byGit = (at: (...parts: ReadonlyArray<string>) => string): ReadonlyArray<readonly [string, string]> => {
  const commit = (folder: string) => {
    fs.writeFileSync(path.join(folder, "file.txt"), "x\n")
    git(folder, "add", "file.txt")
    git(folder, "commit", "-q", "-m", "x")
  }
  git(at(), "init", "-q", "seed")
  commit(at("seed"))
  git(at("seed"), "worktree", "add", "-q", at("seed-wt"), "-b", "wt")

  git(at(), "clone", "-q", "--bare", "seed", "hub/.bare")
  fs.writeFileSync(at("hub", ".git"), "gitdir: ./.bare\n")
  git(at("hub"), "worktree", "add", "-q", at("hub", "feature"), "-b", "feature")

  git(at(), "clone", "-q", "--bare", "seed", "srv.git")
  git(at("srv.git"), "worktree", "add", "-q", at("srv-a"), "-b", "a")

  git(at(), "init", "-q", "sup")
  git(at("sup"), "submodule", "add", "-q", at("seed"), "libs/sub")
  git(at("sup"), "commit", "-q", "-m", "sub")
  git(at("sup"), "worktree", "add", "-q", at("sup-wt"), "-b", "wt")
  git(at("sup-wt"), "submodule", "update", "-q", "--init")
  git(at("sup", "libs", "sub"), "worktree", "add", "-q", at("sub-wt"), "-b", "subwt")

  git(at(), "init", "-q", `--separate-git-dir=${at("sep.gitdir")}`, "sep")
  commit(at("sep"))
  git(at("sep"), "worktree", "add", "-q", at("sep-wt"), "-b", "sepwt")

  return [
    [at("seed"), at("seed")],
    [at("seed-wt"), at("seed")],
    [at("hub"), at("hub")],
    [at("hub", ".bare"), at("hub")],
    [at("hub", "feature"), at("hub")],
    [at("srv.git"), at("srv.git")],
    [at("srv-a"), at("srv.git")],
    [at("sup"), at("sup")],
    [at("sup-wt"), at("sup")],
    [at("sup", "libs", "sub"), at("sup", "libs", "sub")],
    [at("sup-wt", "libs", "sub"), at("sup", "libs", "sub")],
    [at("sub-wt"), at("sup", "libs", "sub")],
    [at("sep"), at("sep.gitdir")],
    [at("sep-wt"), at("sep.gitdir")]
  ]
}
