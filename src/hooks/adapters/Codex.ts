/**
 * The adapter for Codex CLI, which speaks as Claude Code does, with some differences: a prompt is known by its `turn_id`,
 * of how a command ended it mostly reports nothing, a patch names its files in its text, and an answer with a field that
 * it does not know is refused as a whole.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as ClaudeCode from "./ClaudeCode.ts"
import type { HookEvent } from "../HookEvent.ts"
import type { HookOutput } from "../HookOutput.ts"
import { patchFiles } from "../internal/patchFiles.ts"
import { projectVariables } from "../../internal/projectVariables.ts"
import * as Outcome from "../internal/toolOutcome.ts"

/**
 * The agent's name in keys.
 *
 * @category constants
 * @since 0.1.0
 */
export const agent = "codex"

/**
 * The events that memory has a use for.
 *
 * @category constants
 * @since 0.1.0
 */
export const events: ReadonlyArray<string> = [
  "SessionStart",
  "UserPromptSubmit",
  "PostToolUse",
  "Stop",
  "SubagentStop",
  "PreCompact",
  "PostCompact",
  "Interrupt",
  "SessionEnd"
]

/**
 * Codex names the project in no variable: it is that of the working directory.
 *
 * @category constants
 * @since 0.1.0
 */
export const projectVariable: string | undefined = projectVariables.codex

const patchFields = ["command", "input", "patch", "cmd"]

/** A patch comes by a tool of its own, or in a command that applies it. */
const patchOf = (tool: string, input: unknown): string => {
  const texts = Outcome.isRecord(input)
    ? patchFields.map((name) => input[name]).map((value) => (Array.isArray(value) ? value.join("\n") : value))
    : [input]
  const patch = texts.find((text) => typeof text === "string" && text.includes("*** Begin Patch"))
  return typeof patch === "string" && (tool === "apply_patch" || /(?:^|[\s;&|])apply_?patch\b/.test(patch)) ? patch : ""
}

const dialect: ClaudeCode.Dialect = {
  agent,
  title: "Codex",
  changingTools: new Set(["apply_patch"]),
  outcomeOf: Outcome.ofCodex,
  filesOf: (tool, input, cwd) => patchFiles(patchOf(tool, input), cwd)
}

const withPromptId = (body: unknown): unknown =>
  typeof body === "object" && body !== null && "turn_id" in body ? { prompt_id: body.turn_id, ...body } : body

/**
 * Reads what Codex sent to a hook.
 *
 * @category conversions
 * @since 0.1.0
 */
export const decode = (body: unknown): Effect.Effect<HookEvent, ClaudeCode.InvalidPayload> =>
  ClaudeCode.decodeDialect(dialect, withPromptId(body))

/**
 * The answer as Codex takes it: it knows the fields that Claude Code's answer has.
 *
 * @category conversions
 * @since 0.1.0
 */
export const encode: (event: HookEvent, output: HookOutput) => string = ClaudeCode.encode
