/**
 * The supported agents: location of their settings, their events, and the format of a handler.
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
 * The name of an agent.
 *
 * @category models
 * @since 0.1.0
 */
export type AgentName = "claude" | "codex" | "gemini" | "qwen" | "cursor"

/**
 * The address to which HTTP hooks post.
 *
 * @category models
 * @since 0.1.0
 */
export interface HookEndpoint {
  /** The base URL, to which `/` and the name of the agent are appended: `http://127.0.0.1:21234/hooks`. */
  readonly url: string
  /** The bearer token. The settings contain it in plain text: agents expand only variables of their own environment. */
  readonly token: Redacted.Redacted
  /** Additional headers. They appear in diffs, so they must not be secret. None when absent. */
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/**
 * The installed command `athena`, with absolute paths.
 *
 * @category models
 * @since 0.1.0
 */
export interface HookCommand {
  /** The path of Node.js. */
  readonly node: string
  readonly script: string
  readonly version: string
  /** The home if the environment of the agent has no `ATHENA_HOME`; `~/.athena` when absent. */
  readonly home?: string | undefined
  /**
   * The endpoint for agents with HTTP hooks. When absent, every event runs the command, as in shared settings, which
   * must not contain the token.
   */
  readonly endpoint?: HookEndpoint | undefined
}

/**
 * Another file of an agent that can disable its hooks.
 *
 * @category models
 * @since 0.1.0
 */
export interface SwitchFile {
  /** The name of the file, in the folder of the settings. */
  readonly file: string
  /** Returns the switches in the text that disable hooks; none if the text is invalid. */
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
 * The agent's record of hooks that the user has confirmed. It is only read: the confirmation belongs to the user.
 *
 * @category models
 * @since 0.1.0
 */
export interface Trust {
  /** The file of the record, in the folder of the user's settings. */
  readonly file: string
  /**
   * Returns our hooks that the agent does not run. `record` is the text of the file, `files` are the paths by which the
   * agent may know the settings, `settings` is their value.
   */
  readonly inactive: (record: string, files: ReadonlyArray<string>, settings: unknown) => ReadonlyArray<InactiveHook>
  /** The next step for the user. */
  readonly advice: string
}

/**
 * A supported agent.
 *
 * @category models
 * @since 0.1.0
 */
export interface Agent {
  readonly name: AgentName
  /** The product name. */
  readonly title: string
  /** The folder of the settings, relative to the user's home folder and to a project. */
  readonly folder: string
  /** The variable that overrides the folder of the user's settings. */
  readonly folderVariable: string | undefined
  /** The name of the settings file. */
  readonly file: string
  /** Returns the handlers to install for a command. */
  readonly wiring: (command: HookCommand) => Wiring.Wiring
  /** Whether the agent supports HTTP hooks. Other agents run the command for every event. */
  readonly posts: boolean
  /** Present if the user must confirm hooks before the agent runs them. */
  readonly trust?: Trust | undefined
  /** Returns the switches in the settings that disable hooks. */
  readonly switches: (settings: unknown) => ReadonlyArray<string>
  /** A warning for settings with comments; `undefined` if the agent supports comments. */
  readonly commentCaution: string | undefined
  /** Other files that can disable hooks. */
  readonly switchFiles: ReadonlyArray<SwitchFile>
  /**
   * The same agent with its alternative settings file. It is used if it contains our hooks, or if it contains hooks and
   * the first file does not exist.
   */
  readonly otherwise?: Agent | undefined
  /** @internal */
  readonly text: HookText
}

/**
 * An agent without support, and the reason.
 *
 * @category models
 * @since 0.1.0
 */
export interface Unsupported {
  readonly name: AgentName
  readonly title: string
  readonly unsupported: string
}

/** The timeout of a command hook in seconds. The hook itself ends after 6 seconds at the latest. */
const timeoutSeconds = 10

/**
 * The timeout of an HTTP hook in seconds. It blocks the agent if the daemon hangs; the daemon finishes later work by
 * itself.
 */
const postTimeoutSeconds = 1

/** By default, Claude Code grants all hooks of a session's end 1.5 seconds together; a handler can extend this. */
const sessionEndSeconds = 5

const homeFlags = ({ home }: HookCommand): ReadonlyArray<string> => (home === undefined ? [] : ["--home", home])

const claudeCommand = (hookCommand: HookCommand, event: string): Wiring.Handler => ({
  type: "command",
  command: hookCommand.node,
  args: [hookCommand.script, "hook", "--agent", "claude", ...homeFlags(hookCommand), Wiring.mark(hookCommand.version)],
  timeout: event === "SessionEnd" ? sessionEndSeconds : timeoutSeconds
})

/**
 * All events share one URL: Claude Code calls an equal handler once per event, even if several settings files contain
 * it.
 */
const claudePost = ({ headers, token, url }: HookEndpoint, version: string, event: string): Wiring.Handler => ({
  type: "http",
  url: `${url}/claude`,
  headers: { ...headers, Authorization: Wiring.bearer(token), "Athena-Installed-By": Wiring.mark(version) },
  timeout: event === "SessionEnd" ? sessionEndSeconds : postTimeoutSeconds
})

/** Claude Code does not support HTTP hooks for `SessionStart`. Its command starts the daemon for the others. */
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

/** Quotes a word for the system's shell. */
const quoted = (word: string): string =>
  process.platform === "win32" ? `"${word}"` : `'${word.replaceAll("'", `'\\''`)}'`

/** The command line for agents that use a shell. */
const shellCommand = (name: AgentName, hookCommand: HookCommand, mark: string): string => {
  const flags = homeFlags(hookCommand).map((flag) => (flag.startsWith("--") ? flag : quoted(flag)))
  return [quoted(hookCommand.node), quoted(hookCommand.script), "hook", "--agent", name, ...flags, mark].join(" ")
}

/** The name that agents display for a running hook. */
const shownName = "athena"

/** Codex limits these events to 3 seconds, and warns at each start if the settings exceed that. */
const codexFinalEvents: ReadonlySet<string> = new Set(["SessionEnd", "Interrupt"])

const codexFinalSeconds = 3

/**
 * Codex runs only the exact command that the user has confirmed, so the command contains nothing that an upgrade
 * changes.
 */
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

/** Qwen Code waits for the response, and ignores a refused connection silently. */
const qwenPost = ({ headers, token, url }: HookEndpoint, version: string): Wiring.Handler => ({
  name: shownName,
  type: "http",
  url: `${url}/qwen`,
  headers: { ...headers, Authorization: Wiring.bearer(token), "Athena-Installed-By": Wiring.mark(version) },
  timeout: postTimeoutSeconds
})

/**
 * The command at `SessionStart` starts the daemon; all other events use HTTP. Qwen Code sends an empty prompt after
 * each batch of tools, which is not worth a process.
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

/** Gemini CLI can disable a hook by its displayed name. */
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
  commentCaution: "the file has comments; some versions of Claude Code ignore such a file: remove them if no hook runs",
  switchFiles: [{ file: "settings.local.json", switches: (text) => valueOf(json(true), text, switchedOff) }],
  // Some versions are reported to ignore a file with comments; comments are preserved.
  text: json(true)
}

/** Codex warns about hooks in both of its files, so hooks are added to the file that already has some. */
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
 * Codex CLI. Timeouts are in seconds; `hooks.json` is strict JSON.
 *
 * @category agents
 * @since 0.1.0
 */
export const codex: Agent = { ...codexToml, file: "hooks.json", text: json(false), otherwise: codexToml }

/**
 * Qwen Code. Among private addresses, it posts only to 127.0.0.1. HTTP timeouts are in seconds. Versions differ in the
 * unit of command timeouts, but all read 1,000 or more as milliseconds.
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
 * Gemini CLI. Timeouts are in milliseconds.
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
  unsupported: "hooks of Cursor are not supported; use --agent claude, codex, gemini or qwen"
}

/**
 * All known agents, including unsupported ones.
 *
 * @category agents
 * @since 0.1.0
 */
export const all: ReadonlyArray<Agent | Unsupported> = [claude, codex, gemini, qwen, cursor]

/**
 * The supported agents.
 *
 * @category agents
 * @since 0.1.0
 */
export const supported: ReadonlyArray<Agent> = all.filter((agent) => "wiring" in agent)
