/**
 * The agents whose settings we know: where they keep their hooks, what they call their events, and how they want a
 * command to be written down.
 *
 * @since 0.1.0
 */
import * as ClaudeCode from "../hooks/ClaudeCode.ts"
import type { HookText } from "./internal/hookText.ts"
import * as JsonHooks from "./internal/jsonHooks.ts"
import * as Wiring from "./Wiring.ts"

/**
 * The names of the agents.
 *
 * @category models
 * @since 0.1.0
 */
export type AgentName = "claude" | "codex" | "gemini" | "qwen" | "cursor"

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
  /** What a person has to do, or to know, once the hooks are installed. */
  readonly hint: string | undefined
  /** What the settings say that keeps hooks from running. */
  readonly switches: (settings: unknown) => ReadonlyArray<string>
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

/** Claude Code gives all hooks of a session's end 1.5 seconds together, or as long as a handler of the settings asks for. */
const sessionEndSeconds = 5

const claudeWiring = ({ node, script, version }: HookCommand): Wiring.Wiring =>
  ClaudeCode.events.map((event) => ({
    event,
    handler: {
      type: "command",
      command: node,
      args: [script, "hook", Wiring.mark(version)],
      timeout: event === "SessionEnd" ? sessionEndSeconds : timeoutSeconds
    }
  }))

const isOn = (settings: unknown, name: string): boolean =>
  typeof settings === "object" && settings !== null && (settings as Record<string, unknown>)[name] === true

const switchedOff = (settings: unknown): ReadonlyArray<string> => [
  ...(isOn(settings, "disableAllHooks") ? ["disableAllHooks"] : []),
  ...(isOn(settings, "allowManagedHooksOnly") ? ["allowManagedHooksOnly"] : [])
]

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
  hint: undefined,
  switches: switchedOff,
  // It was reported to discard a file with comments as a whole; who has them in a file that it does read keeps them.
  text: JsonHooks.make({ dialect: { comments: true, trailingCommas: false }, nesting: "groups" })
}

const notYet = (name: AgentName, title: string): Unsupported => ({
  name,
  title,
  unsupported: `nothing can be installed for ${title} yet; athena install supports: claude`
})

/**
 * All of them, those without support included.
 *
 * @category agents
 * @since 0.1.0
 */
export const all: ReadonlyArray<Agent | Unsupported> = [
  claude,
  notYet("codex", "Codex CLI"),
  notYet("gemini", "Gemini CLI"),
  notYet("qwen", "Qwen Code"),
  notYet("cursor", "Cursor")
]

/**
 * Those that hooks can be installed for.
 *
 * @category agents
 * @since 0.1.0
 */
export const supported: ReadonlyArray<Agent> = all.filter((agent) => "wiring" in agent)
