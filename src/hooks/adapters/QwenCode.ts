/**
 * The adapter for Qwen Code, a dialect of Claude Code's format. Its prompt event also reports generated text: only a
 * prompt with `submitted_prompt` is the user's, any other is a notification.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as ClaudeCode from "./ClaudeCode.ts"
import type { HookEvent } from "../HookEvent.ts"
import type { HookOutput } from "../HookOutput.ts"
import { projectVariables } from "../../internal/projectVariables.ts"
import * as Outcome from "../internal/toolOutcome.ts"

/**
 * The agent's name in event keys.
 *
 * @category constants
 * @since 0.1.0
 */
export const agent = "qwen-code"

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
  "PostToolUseFailure",
  "Stop",
  "SubagentStop",
  "PreCompact",
  "PostCompact",
  "SessionEnd"
]

/**
 * The environment variable in which Qwen Code passes the project's folder.
 *
 * @category constants
 * @since 0.1.0
 */
export const projectVariable: string | undefined = projectVariables.qwen

const dialect: ClaudeCode.Dialect = {
  agent,
  title: "Qwen Code",
  changingTools: new Set(["edit", "replace", "write_file"]),
  outcomeOf: Outcome.ofQwen
}

const submittedPrompt = (body: unknown): string | undefined =>
  typeof body === "object" && body !== null && "submitted_prompt" in body && typeof body.submitted_prompt === "string"
    ? body.submitted_prompt
    : undefined

/**
 * Decodes a payload of Qwen Code.
 *
 * @category conversions
 * @since 0.1.0
 */
export const decode = (body: unknown): Effect.Effect<HookEvent, ClaudeCode.InvalidPayload> => {
  const prompt = submittedPrompt(body)
  if (prompt !== undefined) return ClaudeCode.decodeDialect(dialect, { ...(body as object), prompt })
  return Effect.map(ClaudeCode.decodeDialect(dialect, body), (event) =>
    event._tag === "Prompt" ? { ...event, isFromUser: false } : event
  )
}

/**
 * Encodes the response in Claude Code's format, which Qwen Code accepts.
 *
 * @category conversions
 * @since 0.1.0
 */
export const encode: (event: HookEvent, output: HookOutput) => string = ClaudeCode.encode
