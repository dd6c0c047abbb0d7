/**
 * The agents whose settings we know: where they keep their hooks, what they call their events, and how they want a
 * command to be written down.
 *
 * @since 0.1.0
 */
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Toml from "effect/encoding/Toml"
import * as ClaudeCode from "../hooks/adapters/ClaudeCode.ts"
import * as Codex from "../hooks/adapters/Codex.ts"
import * as GeminiCli from "../hooks/adapters/GeminiCli.ts"
import * as QwenCode from "../hooks/adapters/QwenCode.ts"
import * as CodexTrust from "./internal/codexTrust.ts"
import type { InactiveHook } from "./internal/codexTrust.ts"
import type { HookText } from "./internal/settingsFormat.ts"
import * as JsonHooks from "./internal/jsonHooks.ts"
import * as TomlHooks from "./internal/tomlHooks.ts"
import * as Wiring from "./Wiring.ts"

/**
 * The names of the agents.
 *
 * @category models
 * @since 0.1.0
 */
export type AgentName = "claude" | "codex" | "gemini" | "qwen" | "cursor"

/**
 * Where a process that stays answers events over HTTP.
 *
 * @category models
 * @since 0.1.0
 */
export interface HookEndpoint {
  /** What events are posted to, followed by `/` and the name of the agent: `http://127.0.0.1:21234/hooks`. */
  readonly url: string
  /** Goes into the settings in plain text: agents fill no variables in but those of their own environment. */
  readonly token: Redacted.Redacted
  /** What every post says besides, in plain text; none when absent. Nothing secret: it is shown in diffs. */
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/**
 * The installed command `athena`, in full paths, so that it needs no search path and no shell.
 *
 * @category models
 * @since 0.1.0
 */
export interface HookCommand {
  /** The program that runs the script: Node.js. */
  readonly node: string
  readonly script: string
  readonly version: string
  /** The folder of the memory where the agent's own environment does not name one; `~/.athena` when absent. */
  readonly home?: string | undefined
  /**
   * For agents that can post events. Where absent, every event runs the command; so for settings that are shared with
   * others, which must hold no secret.
   */
  readonly endpoint?: HookEndpoint | undefined
}

/**
 * Another file of an agent that can keep its hooks from running.
 *
 * @category models
 * @since 0.1.0
 */
export interface SwitchFile {
  /** Its name, in the folder of the settings. */
  readonly file: string
  /** What its text says that keeps hooks from running; nothing where it can't be read. */
  readonly switches: (text: string) => ReadonlyArray<string>
}

export type {
  /**
   * An installed hook that the agent does not run.
   *
   * @category models
   * @since 0.1.0
   */
  InactiveHook
} from "./internal/codexTrust.ts"

/**
 * How an agent records which hooks a person has confirmed. It is only read: to confirm is for the person.
 *
 * @category models
 * @since 0.1.0
 */
export interface Trust {
  /** The file of the record, in the folder of the user's settings. */
  readonly file: string
  /**
   * Our hooks that the agent passes over: `record` is the text of the file, `settings` the value of the settings, which
   * are known to the agent under one of the names in `files`.
   */
  readonly inactive: (record: string, files: ReadonlyArray<string>, settings: unknown) => ReadonlyArray<InactiveHook>
  /** What a person does about it. */
  readonly advice: string
}

/**
 * An agent whose settings we know.
 *
 * @category models
 * @since 0.1.0
 */
export interface Agent {
  readonly name: AgentName
  /** As its makers call it. */
  readonly title: string
  /** The folder of its settings: in the user's home, and in a project. */
  readonly folder: string
  /** The variable that names another folder for the user's settings. */
  readonly folderVariable: string | undefined
  /** The file in that folder. */
  readonly file: string
  /** What is installed for a command. */
  readonly wiring: (command: HookCommand) => Wiring.Wiring
  /** Whether it posts events to an endpoint; the others run the command at every event. */
  readonly posts: boolean
  /** Whether a person has to confirm hooks before the agent runs them, and how to see that. */
  readonly trust?: Trust | undefined
  /** What the settings say that keeps hooks from running. */
  readonly switches: (settings: unknown) => ReadonlyArray<string>
  /** What a file with comments has to fear of the agent; `undefined` where it reads them. */
  readonly commentCaution: string | undefined
  /** Where else that may be said. */
  readonly switchFiles: ReadonlyArray<SwitchFile>
  /**
   * The same agent with another file for its hooks, which is used where it has some already and the first one does not
   * exist, or where it has ours.
   */
  readonly otherwise?: Agent | undefined
  /** @internal */
  readonly text: HookText
}

/**
 * An agent that nothing is installed for yet, and why.
 *
 * @category models
 * @since 0.1.0
 */
export interface Unsupported {
  readonly name: AgentName
  readonly title: string
  readonly unsupported: string
}

/** How long an agent waits for a hook, in seconds. The hook itself ends after 6 at the latest. */
const timeoutSeconds = 10

/** How long Claude Code waits for a process that hangs, at every event again: what it can't do in that time it does later. */
const postTimeoutSeconds = 1

/** Claude Code gives all hooks of a session's end 1.5 seconds together, or as long as a handler of the settings asks for. */
const sessionEndSeconds = 5

/** For the hook alone: what else is called by hand has an environment of its own. */
const homeFlags = ({ home }: HookCommand): ReadonlyArray<string> => (home === undefined ? [] : ["--home", home])

const claudeCommand = (hookCommand: HookCommand, event: string): Wiring.Handler => ({
  type: "command",
  command: hookCommand.node,
  args: [hookCommand.script, "hook", "--agent", "claude", ...homeFlags(hookCommand), Wiring.mark(hookCommand.version)],
  timeout: event === "SessionEnd" ? sessionEndSeconds : timeoutSeconds
})

/** The same address for all events: Claude Code calls an address once an event, in however many files it stands. */
const claudePost = ({ headers, token, url }: HookEndpoint, version: string, event: string): Wiring.Handler => ({
  type: "http",
  url: `${url}/claude`,
  headers: { ...headers, Authorization: Wiring.bearer(token), "Athena-Installed-By": Wiring.mark(version) },
  timeout: event === "SessionEnd" ? sessionEndSeconds : postTimeoutSeconds
})

/**
 * Posts every event but the first one of a session, of which Claude Code posts none: the command that runs then sees to it
 * that somebody is there for the others.
 */
const claudeWiring = (command: HookCommand): Wiring.Wiring => {
  const { endpoint, version } = command
  return ClaudeCode.events.map((event) => ({
    event,
    handler:
      endpoint === undefined || event === "SessionStart"
        ? claudeCommand(command, event)
        : claudePost(endpoint, version, event)
  }))
}

/** A word of a command line as the shell of the system takes it. */
const quoted = (word: string): string =>
  process.platform === "win32" ? `"${word}"` : `'${word.replaceAll("'", `'\\''`)}'`

/** For agents that give the command to a shell. */
const shellCommand = (name: AgentName, hookCommand: HookCommand, mark: string): string => {
  const flags = homeFlags(hookCommand).map((flag) => (flag.startsWith("--") ? flag : quoted(flag)))
  return [quoted(hookCommand.node), quoted(hookCommand.script), "hook", "--agent", name, ...flags, mark].join(" ")
}

/** What agents show of a hook that runs, in the place of its whole command line or address. */
const shownName = "athena"

/** Codex grants these events no more than 3 seconds, and warns at each start of an entry that demands more. */
const codexFinalEvents: ReadonlySet<string> = new Set(["SessionEnd", "Interrupt"])

const codexFinalSeconds = 3

/** Codex runs a command only if a person has confirmed exactly this one, so nothing that an upgrade changes is in it. */
const codexWiring = (hookCommand: HookCommand): Wiring.Wiring => {
  const command = shellCommand("codex", hookCommand, Wiring.mark(Wiring.anyVersion))
  return Codex.events.map((event) => ({
    event,
    handler: { type: "command", command, timeout: codexFinalEvents.has(event) ? codexFinalSeconds : timeoutSeconds }
  }))
}

const geminiWiring = (hookCommand: HookCommand): Wiring.Wiring => {
  const command = shellCommand("gemini", hookCommand, Wiring.mark(hookCommand.version))
  return GeminiCli.events.map((event) => ({
    event,
    handler: { name: shownName, type: "command", command, timeout: timeoutSeconds * 1_000 }
  }))
}

/** Qwen Code waits for it at every event, and shows nothing where no process answers. */
const qwenPost = ({ headers, token, url }: HookEndpoint, version: string): Wiring.Handler => ({
  name: shownName,
  type: "http",
  url: `${url}/qwen`,
  headers: { ...headers, Authorization: Wiring.bearer(token), "Athena-Installed-By": Wiring.mark(version) },
  timeout: postTimeoutSeconds
})

/**
 * Posts every event but the first one of a session: its command starts the process that answers the others. Qwen Code sends
 * an empty prompt after each batch of tools, for which no process is worth its start.
 */
const qwenWiring = (hookCommand: HookCommand): Wiring.Wiring => {
  const { endpoint, version } = hookCommand
  const command = shellCommand("qwen", hookCommand, Wiring.mark(version))
  return QwenCode.events.map((event) => ({
    event,
    handler:
      endpoint === undefined || event === "SessionStart"
        ? { name: shownName, type: "command", command, timeout: timeoutSeconds * 1_000 }
        : qwenPost(endpoint, version)
  }))
}

const isOn = (settings: unknown, name: string): boolean =>
  typeof settings === "object" && settings !== null && (settings as Record<string, unknown>)[name] === true

const switchedOff = (settings: unknown): ReadonlyArray<string> => [
  ...(isOn(settings, "disableAllHooks") ? ["disableAllHooks"] : []),
  ...(isOn(settings, "allowManagedHooksOnly") ? ["allowManagedHooksOnly"] : [])
]

const json = (comments: boolean): HookText =>
  JsonHooks.make({ dialect: { comments, trailingCommas: false }, nesting: "groups" })

const valueOf = (format: HookText, text: string, read: (settings: unknown) => ReadonlyArray<string>) =>
  Result.match(format.value(text), { onFailure: () => [], onSuccess: ({ value }) => read(value) })

const isFalse = (value: unknown, name: string): boolean =>
  typeof value === "object" && value !== null && (value as Record<string, unknown>)[name] === false

const codexSwitches = (text: string): ReadonlyArray<string> =>
  Result.match(Toml.parse(text), {
    onFailure: () => [],
    onSuccess: ({ features }) =>
      ["hooks", "codex_hooks"].filter((name) => isFalse(features, name)).map((name) => `[features] ${name}`)
  })

/** Gemini CLI switches single hooks off by the name that it shows. */
const geminiSwitches = (settings: unknown): ReadonlyArray<string> => {
  const config = Predicate.hasProperty(settings, "hooksConfig") ? settings.hooksConfig : undefined
  const disabled = Predicate.hasProperty(config, "disabled") && Array.isArray(config.disabled) ? config.disabled : []
  return [
    ...(isFalse(config, "enabled") ? ["hooksConfig.enabled"] : []),
    ...(disabled.includes(shownName) ? ["hooksConfig.disabled"] : [])
  ]
}

/**
 * Claude Code.
 *
 * @category agents
 * @since 0.1.0
 */
export const claude: Agent = {
  name: "claude",
  title: "Claude Code",
  folder: ".claude",
  folderVariable: "CLAUDE_CONFIG_DIR",
  file: "settings.json",
  wiring: claudeWiring,
  posts: true,
  switches: switchedOff,
  commentCaution:
    "the file has comments, for which Claude Code may discard it as a whole: take them out if no hook runs",
  switchFiles: [{ file: "settings.local.json", switches: (text) => valueOf(json(true), text, switchedOff) }],
  // Versions were reported that discard a file with comments; where they are read, they are kept.
  text: json(true)
}

/** Codex warns of hooks in both of its files, so those who have theirs in `config.toml` get ours there. */
const codexToml: Agent = {
  name: "codex",
  title: "Codex CLI",
  folder: ".codex",
  folderVariable: "CODEX_HOME",
  file: "config.toml",
  wiring: codexWiring,
  posts: false,
  trust: {
    file: "config.toml",
    inactive: CodexTrust.inactive,
    advice: "start codex in a terminal and trust the hooks when it asks, or confirm them with /hooks"
  },
  switches: () => [],
  commentCaution: undefined,
  switchFiles: [{ file: "config.toml", switches: codexSwitches }],
  text: TomlHooks.hooks
}

/**
 * Codex CLI. Its seconds are those of its documentation; its `hooks.json` is JSON in the strict sense.
 *
 * @category agents
 * @since 0.1.0
 */
export const codex: Agent = { ...codexToml, file: "hooks.json", text: json(false), otherwise: codexToml }

/**
 * Qwen Code. It posts to 127.0.0.1, and to no other address of a private network. It counts the time of a post in seconds,
 * and that of a command too since some version; 1,000 or more are milliseconds for all versions.
 *
 * @category agents
 * @since 0.1.0
 */
export const qwen: Agent = {
  name: "qwen",
  title: "Qwen Code",
  folder: ".qwen",
  folderVariable: undefined,
  file: "settings.json",
  wiring: qwenWiring,
  posts: true,
  switches: (settings) => (isOn(settings, "disableAllHooks") ? ["disableAllHooks"] : []),
  commentCaution: undefined,
  switchFiles: [],
  text: json(true)
}

/**
 * Gemini CLI. It counts time in milliseconds.
 *
 * @category agents
 * @since 0.1.0
 */
export const gemini: Agent = {
  name: "gemini",
  title: "Gemini CLI",
  folder: ".gemini",
  folderVariable: undefined,
  file: "settings.json",
  wiring: geminiWiring,
  posts: false,
  switches: geminiSwitches,
  commentCaution: undefined,
  switchFiles: [],
  text: json(true)
}

const cursor: Unsupported = {
  name: "cursor",
  title: "Cursor",
  unsupported:
    "it is not known well enough what Cursor sends to hooks and takes from them, so nothing is installed; " +
    "use --agent claude, codex, gemini or qwen"
}

/**
 * All of them, those without support included.
 *
 * @category agents
 * @since 0.1.0
 */
export const all: ReadonlyArray<Agent | Unsupported> = [claude, codex, gemini, qwen, cursor]

/**
 * Those that hooks can be installed for.
 *
 * @category agents
 * @since 0.1.0
 */
export const supported: ReadonlyArray<Agent> = all.filter((agent) => "wiring" in agent)
