/**
 * Detects whether several people log in to this machine. A loopback port is open to all of them: while the daemon is
 * down, each of them could listen on it, receive events and the token, and respond.
 */
import * as os from "node:os"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"

/**
 * The sources of user accounts: files in the formats of `passwd(5)` and `login.defs(5)`, or the folder of home folders
 * on systems without them.
 */
export interface Sources {
  readonly passwd: string
  readonly loginDefs: string
  readonly homes: string | undefined
}

const sources = (): Sources => ({
  passwd: "/etc/passwd",
  loginDefs: "/etc/login.defs",
  homes:
    process.platform === "darwin"
      ? "/Users"
      : process.platform === "win32"
        ? `${process.env["SystemDrive"] ?? "C:"}\\Users`
        : undefined
})

/** The sources of user accounts on this machine. */
export const Sources = Context.Reference<Sources>("athena-hooks/cli/LoginUsers/Sources", { defaultValue: sources })

/** Home folders that the system creates. */
const systemHomes =
  /^(?:\..*|shared|guest|public|default|default user|all users|defaultuser\d*|wdagutilityaccount|desktop\.ini)$/i

const noLogin = /(?:^|\/)(?:nologin|false|sync|halt|shutdown|true|git-shell)$/

interface Entry {
  readonly name: string
  readonly uid: number
  readonly shell: string
}

const entriesOf = (passwd: string): ReadonlyArray<Entry> =>
  passwd.split(/\r?\n/).flatMap((line) => {
    const [name = "", , uid = "", , , , shell = ""] = line.split(":")
    return /^\w/.test(name) && /^\d+$/.test(uid) ? [{ name, uid: Number(uid), shell: shell.trim() }] : []
  })

const bound = (loginDefs: string, name: string, otherwise: number): number =>
  Number(new RegExp(`^[ \\t]*${name}[ \\t]+(\\d+)`, "m").exec(loginDefs)?.[1] ?? otherwise)

/**
 * Returns the uids of people in a passwd file: regular uids with a login shell, and `own`, the uid of this process,
 * unless it is root.
 */
export const peopleOf = (passwd: string, loginDefs: string, own: number | undefined): ReadonlyArray<number> => {
  const least = bound(loginDefs, "UID_MIN", 1_000)
  const most = bound(loginDefs, "UID_MAX", 60_000)
  const people = entriesOf(passwd)
    .filter(({ shell, uid }) => uid >= least && uid <= most && !noLogin.test(shell))
    .map(({ uid }) => uid)
  return [...new Set(own === undefined || own === 0 ? people : [...people, own])]
}

/** Whether this user comes from a network directory, whose other users can log in too. */
const isOfDirectory = (passwd: string): boolean => {
  try {
    const { username } = os.userInfo()
    return !entriesOf(passwd).some(({ name }) => name === username)
  } catch {
    // The user has no name, as in some containers.
    return false
  }
}

const read = (file: string) =>
  Effect.flatMap(FileSystem.FileSystem, (files) => Effect.orElseSucceed(files.readFileString(file), () => ""))

const countHomes = Effect.fnUntraced(function* (folder: string) {
  const files = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const names = yield* Effect.orElseSucceed(files.readDirectory(folder), () => [])
  const homes = yield* Effect.filter(
    names.filter((name) => !systemHomes.test(name)),
    (name) =>
      Effect.orElseSucceed(
        Effect.map(files.stat(path.join(folder, name)), ({ type }) => type === "Directory"),
        () => false
      )
  )
  return homes.length
})

/** Whether several people log in to this machine. */
export const areSeveral = Effect.gen(function* () {
  const { homes, loginDefs, passwd } = yield* Sources
  if (homes !== undefined) return (yield* countHomes(homes)) > 1
  const text = yield* read(passwd)
  if (text === "") return false
  return peopleOf(text, yield* read(loginDefs), process.getuid?.()).length > 1 || isOfDirectory(text)
})
