/**
 * Resolves the home from environment variables. The hook, the daemon and the commands share it. It imports nothing,
 * because the shim includes it.
 */

type Env = Readonly<Record<string, string | undefined>>

/** The home, or a problem that does not quote the value. */
export type HomePath = { readonly path: string } | { readonly problem: string }

/** The functions of `node:path` in use. */
interface Paths {
  readonly isAbsolute: (path: string) => boolean
  readonly resolve: (...paths: Array<string>) => string
}

/** The variables that determine the home. An empty value counts as absent. */
export const variables = ["ATHENA_HOME", "HOME", "USERPROFILE"] as const

const named = (env: Env, name: string): string | undefined => env[name] || undefined

const absolute = (name: string, value: string, paths: Paths): HomePath => {
  // Node.js replaces bytes that are not UTF-8 with U+FFFD, which would name another folder.
  if (/[\u0000\uFFFD]/.test(value)) return { problem: `${name} has a character that can't stand in a path` }
  return paths.isAbsolute(value)
    ? { path: paths.resolve(value) }
    : { problem: `${name} must be an absolute path: a relative one means another folder wherever the agent runs` }
}

/** The home folder of the user. */
const userHome = (env: Env, paths: Paths): HomePath => {
  const name = named(env, "HOME") === undefined ? "USERPROFILE" : "HOME"
  const value = named(env, name)
  return value === undefined ? { problem: "neither ATHENA_HOME nor HOME is set" } : absolute(name, value, paths)
}

/** Returns `ATHENA_HOME`, in which a leading `~` is the user's home folder; `~/.athena` when absent. */
export const of = (env: Env, paths: Paths): HomePath => {
  const value = named(env, "ATHENA_HOME")
  if (value !== undefined && !/^~(?:[\\/]|$)/.test(value)) {
    return value.startsWith("~") && !paths.isAbsolute(value)
      ? { problem: "ATHENA_HOME names the folder of a user by ~NAME: write the path out" }
      : absolute("ATHENA_HOME", value, paths)
  }
  const user = userHome(env, paths)
  if ("problem" in user) {
    return value === undefined ? user : { problem: "ATHENA_HOME begins with ~, and HOME is no absolute path" }
  }
  return { path: paths.resolve(user.path, value === undefined ? ".athena" : `.${value.slice(1)}`) }
}
