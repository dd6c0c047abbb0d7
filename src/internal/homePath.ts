/**
 * The folder of what is stored on this host, from the variables of the environment. The hook, the resident process and the
 * commands all read it here, so that they mean the same folder. Without an import: the shim is built from it too.
 */

type Env = Readonly<Record<string, string | undefined>>

/** The folder; or why there is none, for a person, without the value. */
export type HomePath = { readonly path: string } | { readonly problem: string }

/** What of `node:path` is needed. */
interface Paths {
  readonly isAbsolute: (path: string) => boolean
  readonly resolve: (...paths: Array<string>) => string
}

/** The variables that it is read from; an empty one counts as absent. */
export const variables = ["ATHENA_HOME", "HOME", "USERPROFILE"] as const

const named = (env: Env, name: string): string | undefined => env[name] || undefined

const absolute = (name: string, value: string, paths: Paths): HomePath => {
  // A name that is no UTF-8 reaches Node.js with this in the place of what it was, and means another folder.
  if (/[\u0000\uFFFD]/.test(value)) return { problem: `${name} has a character that can't stand in a path` }
  return paths.isAbsolute(value)
    ? { path: paths.resolve(value) }
    : { problem: `${name} must be an absolute path: a relative one means another folder wherever the agent runs` }
}

/** The user's own folder. */
const userHome = (env: Env, paths: Paths): HomePath => {
  const name = named(env, "HOME") === undefined ? "USERPROFILE" : "HOME"
  const value = named(env, name)
  return value === undefined ? { problem: "neither ATHENA_HOME nor HOME is set" } : absolute(name, value, paths)
}

/** `ATHENA_HOME`, in which `~` stands for the user's own folder; without it `.athena` there. */
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
