/**
 * What `install`, `uninstall`, `status` and `doctor` share: which files are meant, and which command goes into them.
 */
import * as fs from "node:fs"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Flag from "effect/cli/Flag"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Result from "effect/Result"
import * as Endpoint from "../daemon/Endpoint.ts"
import * as Layout from "../daemon/internal/layout.ts"
import * as Repository from "../hooks/Repository.ts"
import * as Agents from "../install/Agents.ts"
import { InstallError, UnsupportedAgent } from "../install/InstallError.ts"
import type * as Installer from "../install/Installer.ts"
import * as Database from "../sql/Database.ts"
import * as DaemonSwitch from "./DaemonSwitch.ts"
import { ownDatabase } from "./ownDatabase.ts"
import { version } from "./version.ts"

export type Scope = "user" | "project"

export const agent = Flag.Literals("agent", ["claude", "codex", "gemini", "qwen", "cursor"]).pipe(
  Flag.withDescription("The coding agent"),
  Flag.withDefault("claude" as const)
)

export const scope = Flag.Literals("scope", ["user", "project"]).pipe(
  Flag.withDescription("All your projects, or the repository of the current folder alone"),
  Flag.withDefault("user" as const)
)

export const dryRun = Flag.Boolean("dry-run").pipe(
  Flag.withDescription("Print what would be changed, as a diff, and change nothing"),
  Flag.withDefault(false)
)

/** What answers hooks, with links resolved, for they may be moved: the shim beside this command, which starts faster. */
const hookScript = Effect.gen(function* () {
  const path = yield* Path.Path
  const called = process.argv[1] ?? ""
  const script = fs.existsSync(called) ? fs.realpathSync(called) : called
  const shim = path.join(path.dirname(script), "shim.cjs")
  return fs.existsSync(shim) ? shim : script
})

/** The home that the environment names: an agent that is started elsewhere may have another one. */
const namedHome = Effect.gen(function* () {
  const named = yield* Config.withDefault(Config.String("ATHENA_HOME"), "")
  return named === "" ? undefined : (yield* Path.Path).resolve(named)
})

/** What is posted has no environment, so it says from the start which database it is for: another one refuses it. */
const databaseHeader = () => ({ [Layout.headers.database]: ownDatabase() })

/** This command as it is installed in a scope, with the address that events are posted to, if they are. */
export const command = (endpoint: Option.Option<Endpoint.Endpoint>, scope: Scope) =>
  Effect.gen(function* () {
    const common: Agents.HookCommand = {
      node: process.execPath,
      script: yield* hookScript,
      version,
      // A project's settings are for others as well, who have homes of their own.
      home: scope === "user" ? yield* namedHome : undefined
    }
    if (Option.isNone(endpoint)) return common
    const { token } = endpoint.value
    return { ...common, endpoint: { url: `${Endpoint.url(endpoint.value)}/hooks`, token, headers: databaseHeader() } }
  })

/** Whether events are posted. The settings of a project are shared with others, so no token goes into them. */
export const isPosted = (agent: Agents.Agent, scope: Scope): Effect.Effect<boolean> =>
  agent.posts && scope === "user" ? Effect.map(DaemonSwitch.isOff, (off) => !off) : Effect.succeed(false)

/** The command as it should be installed, where an address was made; one that can't be read counts as none. */
export const wantedCommand = Effect.fnUntraced(function* ({ agent, home }: Installer.Target, scope: Scope) {
  const endpoint = (yield* isPosted(agent, scope))
    ? yield* Effect.orElseSucceed(Endpoint.read(home), () => Option.none<Endpoint.Endpoint>())
    : Option.none<Endpoint.Endpoint>()
  return yield* command(endpoint, scope)
})

/** The agent of a name, if hooks can be installed for it. */
export const supported = (name: Agents.AgentName): Effect.Effect<Agents.Agent, InstallError> => {
  const agent = Agents.all.find((agent) => agent.name === name)
  if (agent !== undefined && "wiring" in agent) return Effect.succeed(agent)
  const detail = agent?.unsupported ?? "there is no such agent"
  return Effect.fail(new InstallError({ reason: new UnsupportedAgent({ agent: name, detail }) }))
}

const variable = (name: string) => Config.withDefault(Config.String(name), "")

const userFolder = Effect.fnUntraced(function* (agent: Agents.Agent) {
  const path = yield* Path.Path
  const named = agent.folderVariable === undefined ? "" : yield* variable(agent.folderVariable)
  if (named !== "") return path.resolve(named)
  const home = (yield* variable("HOME")) || (yield* variable("USERPROFILE"))
  if (home !== "") return path.join(home, agent.folder)
  return yield* new Database.InvalidSettings({ detail: "HOME is not set" })
})

const projectFolder = Effect.fnUntraced(function* (agent: Agents.Agent) {
  const path = yield* Path.Path
  const { worktreePath } = yield* Repository.find(path.resolve("."))
  return path.join(worktreePath, agent.folder)
})

/** Which of an agent's files its hooks are in, or are to be. */
const place = Effect.fnUntraced(function* (agent: Agents.Agent, folder: string) {
  const path = yield* Path.Path
  const files = yield* FileSystem.FileSystem
  const { otherwise } = agent
  if (otherwise === undefined) return agent
  const text = yield* Effect.orElseSucceed(files.readFileString(path.join(folder, otherwise.file)), () => "")
  const hasOurs = Result.match(otherwise.text.found(text), {
    onFailure: () => false,
    onSuccess: (all) => all.length > 0
  })
  const hasFirst = yield* Effect.orElseSucceed(files.exists(path.join(folder, agent.file)), () => true)
  return hasOurs || (!hasFirst && otherwise.text.hasHooks(text)) ? otherwise : agent
})

/** The settings file of an agent in a scope. */
export const target = Effect.fnUntraced(function* (known: Agents.Agent, scope: Scope) {
  const path = yield* Path.Path
  const folder = yield* scope === "user" ? userFolder(known) : projectFolder(known)
  const agent = yield* place(known, folder)
  return {
    agent,
    file: path.join(folder, agent.file),
    // A project's settings are for all who work in it; a user's may hold secrets.
    newMode: scope === "user" ? 0o600 : 0o644,
    home: yield* Database.home
  } satisfies Installer.Target
})

/** Whether the command is where it may be gone tomorrow. */
export const isPassing = ({ script }: Agents.HookCommand): boolean => /[\\/]_npx[\\/]|[\\/]dlx-/.test(script)

/** What a person should know of the file that the hooks are in. */
export const cautions = (agent: Agents.Agent, { byHand, comments }: Installer.Inspection): ReadonlyArray<string> => [
  ...(byHand.length > 0
    ? [`athena hook is also called by hand at ${byHand.join(", ")}: take that out, or everything is told twice`]
    : []),
  ...(comments && agent.commentCaution !== undefined ? [agent.commentCaution] : [])
]
