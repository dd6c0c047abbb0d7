/**
 * The adapter for Qwen Code, which speaks as Claude Code does, but sends a prompt to hooks for what it tells itself as
 * well. Only `submitted_prompt` is known to come from a person; a prompt without it is kept as a notification.
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
 * The agent's name in keys.
 *
 * @category constants
 * @since 0.1.0
 */
export const agent = "qwen-code"

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
  "PostToolUseFailure",
  "Stop",
  "SubagentStop",
  "PreCompact",
  "PostCompact",
  "SessionEnd"
]

/**
 * Where Qwen Code names the folder of the project.
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
 * Reads what Qwen Code sent to a hook.
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
 * The answer as Qwen Code takes it: it knows the fields that Claude Code's answer has.
 *
 * @category conversions
 * @since 0.1.0
 */
export const encode: (event: HookEvent, output: HookOutput) => string = ClaudeCode.encode
