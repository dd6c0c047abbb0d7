/**
 * The settings files and the command that `install`, `uninstall`, `status` and `doctor` share.
 */
import * as fs from "node:fs"
import * as nodePath from "node:path"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Result from "effect/Result"
import * as Endpoint from "../daemon/Endpoint.ts"
import * as Layout from "../host/paths.ts"
import * as Repository from "../hooks/Repository.ts"
import * as Agents from "./Agents.ts"
import { InstallError, UnsupportedAgent } from "./InstallError.ts"
import type * as Installer from "./Installer.ts"
import * as Database from "../sql/Database.ts"
import * as Environment from "../host/environment.ts"
import * as HookPaths from "./hookHandler.ts"
import * as LoginUsers from "./loginUsers.ts"
import * as NodePath from "./internal/nodePath.ts"
import { databaseIdentity } from "../host/paths.ts"
import { readText } from "./internal/settingsFile.ts"
import { version } from "../internal/version.ts"
import { workingFolder } from "../host/environment.ts"

export type Scope = "user" | "project"

/** Returns a file and the targets of its symbolic links, in order. */
const names = (file: string, links = 40): ReadonlyArray<string> => {
  const link = fs.lstatSync(file, { throwIfNoEntry: false })?.isSymbolicLink() === true && links > 0
  return link ? [file, ...names(nodePath.resolve(nodePath.dirname(file), fs.readlinkSync(file)), links - 1)] : [file]
}

/**
 * Returns the shim, which starts faster than this command. Symbolic links are resolved only as far as necessary: their
 * target may be the folder of one version.
 */
const hookScript = Effect.gen(function* () {
  const path = yield* Path.Path
  const called = path.resolve(process.argv[1] ?? "")
  const shims = names(called).map((name) => path.join(path.dirname(name), "shim.cjs"))
  return shims.find((shim) => fs.existsSync(shim)) ?? called
})

/** The home of the environment. An agent that starts elsewhere may have another environment. */
const namedHome = Effect.gen(function* () {
  const named = yield* Config.withDefault(Config.String("ATHENA_HOME"), "")
  return named === "" ? undefined : yield* Database.home
})

/** An HTTP hook has no environment, so the header identifies the database; a daemon with another one rejects it. */
const databaseHeader = () => ({ [Layout.headers.database]: databaseIdentity() })

/** Returns the handlers in a settings file; none if it can't be read. */
const installed = ({ agent, file }: Installer.Target) =>
  Effect.map(readText(file), (text) => Result.getOrElse(agent.text.found(text), () => []))

/** Returns the command to install in a scope, with the endpoint of HTTP hooks. */
export const command = (target: Installer.Target, endpoint: Option.Option<Endpoint.Endpoint>, scope: Scope) =>
  Effect.gen(function* () {
    const common: Agents.HookCommand = {
      node: yield* NodePath.find(HookPaths.nodeOf(yield* installed(target))),
      script: yield* hookScript,
      version,
      // Project settings are shared with users that have other homes.
      home: scope === "user" ? yield* namedHome : undefined
    }
    if (Option.isNone(endpoint)) return common
    const { token } = endpoint.value
    return { ...common, endpoint: { url: `${Endpoint.url(endpoint.value)}/hooks`, token, headers: databaseHeader() } }
  })

/** How events reach athena. */
export interface Transport {
  readonly posted: boolean
  /** Why the default transport is not used. */
  readonly note: string | undefined
}

const severalUsers =
  "several people log in to this machine: while the daemon is down, each of them could listen on its " +
  "port, receive the token and events, and respond. Events therefore run a command; to use HTTP hooks anyway: --post"

/**
 * Selects the transport: HTTP hooks if the agent supports them, unless the user, the environment or the machine
 * precludes it. Project settings are shared, so they contain no token.
 */
export const transport = Effect.fnUntraced(function* (
  agent: Agents.Agent,
  scope: Scope,
  requested: Option.Option<boolean>
) {
  const commands: Transport = { posted: false, note: undefined }
  const obstacle = !agent.posts
    ? `${agent.title} does not support HTTP hooks`
    : scope !== "user"
      ? "project settings are shared and must not contain the token"
      : (yield* Environment.isDaemonDisabled)
        ? "ATHENA_DAEMON is off"
        : undefined
  if (obstacle !== undefined) {
    const isMissed = Option.contains(requested, true)
    return { ...commands, note: isMissed ? `events run a command: ${obstacle}` : undefined }
  }
  if (Option.isSome(requested)) return { posted: requested.value, note: undefined } satisfies Transport
  return (yield* LoginUsers.areSeveral) ? { ...commands, note: severalUsers } : { ...commands, posted: true }
})

/**
 * Returns the command that the settings should contain: with the endpoint if HTTP hooks, or no hooks, are installed. An
 * unreadable endpoint counts as absent.
 */
export const wantedCommand = Effect.fnUntraced(function* (target: Installer.Target, scope: Scope) {
  const handlers = yield* installed(target)
  const requested = handlers.length === 0 ? Option.none<boolean>() : Option.some(handlers.some(HookPaths.isPost))
  const { posted } = yield* transport(target.agent, scope, requested)
  const endpoint = posted
    ? yield* Effect.orElseSucceed(Endpoint.read(target.home), () => Option.none<Endpoint.Endpoint>())
    : Option.none<Endpoint.Endpoint>()
  return yield* command(target, endpoint, scope)
})

/** Returns a supported agent by name. */
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
  if (named !== "" && !path.isAbsolute(named)) {
    const detail = `${agent.folderVariable} must be an absolute path: the agent resolves it in each folder`
    return yield* new Database.InvalidSettings({ detail })
  }
  if (named !== "") return path.resolve(named)
  const home = (yield* variable("HOME")) || (yield* variable("USERPROFILE"))
  if (home !== "") return path.join(home, agent.folder)
  return yield* new Database.InvalidSettings({ detail: "HOME is not set" })
})

const projectRoot = Effect.gen(function* () {
  const { worktreePath } = yield* Repository.find(yield* workingFolder)
  return worktreePath
})

/** Selects the settings file of an agent. */
const place = Effect.fnUntraced(function* (agent: Agents.Agent, folder: string) {
  const path = yield* Path.Path
  const files = yield* FileSystem.FileSystem
  const { otherwise } = agent
  if (otherwise === undefined) return agent
  const text = yield* readText(path.join(folder, otherwise.file))
  const hasOurs = Result.match(otherwise.text.found(text), {
    onFailure: () => false,
    onSuccess: (all) => all.length > 0
  })
  const hasFirst = yield* Effect.orElseSucceed(files.exists(path.join(folder, agent.file)), () => true)
  return hasOurs || (!hasFirst && otherwise.text.hasHooks(text)) ? otherwise : agent
})

/** Returns the settings file of an agent in a scope. */
export const target = Effect.fnUntraced(function* (known: Agents.Agent, scope: Scope) {
  const path = yield* Path.Path
  const project = scope === "user" ? undefined : yield* projectRoot
  const folder = project === undefined ? yield* userFolder(known) : path.join(project, known.folder)
  const agent = yield* place(known, folder)
  return {
    agent,
    file: path.join(folder, agent.file),
    // Project settings are shared; user settings may contain secrets.
    newMode: scope === "user" ? 0o600 : 0o644,
    within: project,
    home: yield* Database.home
  } satisfies Installer.Target
})

/** Returns our hooks that the agent does not run until the user confirms them. */
export const inactiveHooks = Effect.fnUntraced(function* ({ agent, file }: Installer.Target) {
  const path = yield* Path.Path
  const files = yield* FileSystem.FileSystem
  const { trust } = agent
  if (trust === undefined) return []
  const real = yield* Effect.orElseSucceed(files.realPath(file), () => file)
  const settings = Result.getOrUndefined(agent.text.value(yield* readText(file)))?.value
  const record = yield* readText(path.join(yield* userFolder(agent), trust.file))
  return trust.inactive(record, [...new Set([file, real])], settings)
})

/** Describes inactive hooks, with the next step. */
export const inactiveLines = (
  { title, trust }: Agents.Agent,
  inactive: ReadonlyArray<Agents.InactiveHook>
): ReadonlyArray<string> => {
  const of = (state: Agents.InactiveHook["state"]) =>
    inactive.filter((hook) => hook.state === state).map(({ event }) => event)
  const states = [
    ["not confirmed:", of("untrusted")],
    ["changed since their confirmation:", of("changed")],
    ["disabled:", of("disabled")]
  ] as const
  const reasons = states.filter(([, events]) => events.length > 0).map(([why, events]) => `${why} ${events.join(", ")}`)
  return trust === undefined || reasons.length === 0
    ? []
    : [`${title} does not run some hooks (${reasons.join("; ")}): ${trust.advice}`]
}

/** Warns about paths that an upgrade or a cleanup removes. */
export const temporaryPaths = ({ node, script }: Agents.HookCommand): ReadonlyArray<string> => [
  ...(/[\\/]_npx[\\/]|[\\/]dlx-/.test(script)
    ? [`${script} is in a temporary cache: install athena-hooks permanently and run this again`]
    : []),
  ...(NodePath.isTemporary(node)
    ? [`${node} belongs to one version of Node.js, and PATH has no stable path: run this again after an upgrade`]
    : [])
]

/** Warns about properties of the settings file. */
export const cautions = (agent: Agents.Agent, { byHand, comments }: Installer.Inspection): ReadonlyArray<string> => [
  ...(byHand.length > 0
    ? [
        `athena hook is also configured manually for ${byHand.join(", ")}: remove that, or every event is delivered twice`
      ]
    : []),
  ...(comments && agent.commentCaution !== undefined ? [agent.commentCaution] : [])
]
