/**
 * The adapter for Codex CLI, a dialect of Claude Code's format: `turn_id` identifies a prompt, most shell responses
 * have no exit code (the outcome is unknown), a patch names its files in its text, and a response with an unknown field
 * is rejected.
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
 * The agent's name in event keys.
 *
 * @category constants
 * @since 0.1.0
 */
export const agent = "codex"

/**
 * The hook events to install.
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
 * Codex sets no variable: the working directory decides the project.
 *
 * @category constants
 * @since 0.1.0
 */
export const projectVariable: string | undefined = projectVariables.codex

const patchFields = ["command", "input", "patch", "cmd"]

/** A patch arrives in a tool of its own, or in a shell command that applies it. */
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
 * Decodes a payload of Codex.
 *
 * @category conversions
 * @since 0.1.0
 */
export const decode = (body: unknown): Effect.Effect<HookEvent, ClaudeCode.InvalidPayload> =>
  ClaudeCode.decodeDialect(dialect, withPromptId(body))

/**
 * Encodes the response in Claude Code's format, which Codex accepts.
 *
 * @category conversions
 * @since 0.1.0
 */
export const encode: (event: HookEvent, output: HookOutput) => string = ClaudeCode.encode
