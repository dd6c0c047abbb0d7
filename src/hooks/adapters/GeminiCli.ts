/**
 * The adapter for Gemini CLI, which has its own event names. Its prompts and tool calls have no ids, so the event's
 * timestamp, equal in every delivery, is the id.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { fnv1a } from "../../internal/fnv1a.ts"
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
export const agent = "gemini-cli"

type Payload = Readonly<Record<string, unknown>>

/** The input distinguishes tool calls with the same timestamp. */
const toolUseId = ({ timestamp, tool_input: input, tool_name: tool }: Payload): string | undefined =>
  typeof timestamp === "string" ? `${timestamp}-${fnv1a(`${String(tool)} ${JSON.stringify(input)}`)}` : undefined

/** The context of a hook, which the model may repeat. */
const hookContext = /<hook_context>[^]*?<\/hook_context>|&lt;hook_context&gt;[^]*?&lt;\/hook_context&gt;/g

const withoutHookContext = (text: unknown): unknown =>
  typeof text === "string" && text.includes("hook_context") ? text.replace(hookContext, "").trim() : text

/** Each event in Claude Code's format. */
const translations: Readonly<Record<string, (body: Payload) => Payload>> = {
  SessionStart: () => ({}),
  BeforeAgent: ({ timestamp }) => ({ hook_event_name: "UserPromptSubmit", prompt_id: timestamp }),
  AfterTool: (body) => ({ hook_event_name: "PostToolUse", tool_use_id: toolUseId(body) }),
  AfterAgent: ({ prompt_response: answer, timestamp }) => ({
    hook_event_name: "Stop",
    last_assistant_message: withoutHookContext(answer),
    prompt_id: timestamp
  }),
  SessionEnd: () => ({})
}

/** `PreCompress` precedes every model request, not only a compaction. */
const ignored: ReadonlySet<unknown> = new Set([
  "AfterModel",
  "BeforeModel",
  "BeforeTool",
  "BeforeToolSelection",
  "Notification",
  "PreCompress"
])

/**
 * The hook events to install.
 *
 * @category constants
 * @since 0.1.0
 */
export const events: ReadonlyArray<string> = Object.keys(translations).filter((name) => name !== "PreCompress")

/**
 * The environment variable in which Gemini CLI passes the project's folder.
 *
 * @category constants
 * @since 0.1.0
 */
export const projectVariable: string | undefined = projectVariables.gemini

const dialect: ClaudeCode.Dialect = {
  agent,
  title: "Gemini CLI",
  changingTools: new Set(["edit", "replace", "write_file"]),
  outcomeOf: Outcome.ofGemini
}

/** An event of Claude Code that Gemini CLI does not have is unknown, like any other name. */
const translated = (body: Payload): Payload => {
  const name = body["hook_event_name"]
  if (ignored.has(name)) return { ...body, hook_event_name: "Notification" }
  const translate = typeof name === "string" && Object.hasOwn(translations, name) ? translations[name] : undefined
  return translate === undefined
    ? { ...body, hook_event_name: typeof name === "string" ? `${name} of Gemini CLI` : name }
    : { ...body, ...translate(body) }
}

const isBody = (body: unknown): body is Payload => typeof body === "object" && body !== null && !Array.isArray(body)

/**
 * Decodes a payload of Gemini CLI.
 *
 * @category conversions
 * @since 0.1.0
 */
export const decode = (body: unknown): Effect.Effect<HookEvent, ClaudeCode.InvalidPayload> =>
  ClaudeCode.decodeDialect(dialect, isBody(body) ? translated(body) : body)

const encodeResponse = (hookEventName: string, { context, message }: HookOutput): string =>
  JSON.stringify({
    systemMessage: message || undefined,
    hookSpecificOutput: context === undefined ? undefined : { hookEventName, additionalContext: context }
  })

/**
 * Encodes the response: always a JSON object, with context only at a prompt. Context at a session's start would precede
 * the prompt under `-p`, and a resumed session would lose that prompt.
 *
 * @category conversions
 * @since 0.1.0
 */
export const encode = (event: HookEvent, output: HookOutput): string => {
  switch (event._tag) {
    case "SessionStart":
      return encodeResponse("SessionStart", { ...output, context: undefined })
    case "Prompt":
      return encodeResponse("BeforeAgent", output)
    default:
      return "{}"
  }
}
