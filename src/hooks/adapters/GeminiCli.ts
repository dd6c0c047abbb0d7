/**
 * The adapter for Gemini CLI, which has events of its own names. It gives prompts and uses of tools no ids, so the time
 * of the event, which a replay has too, stands for one.
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
 * The agent's name in keys.
 *
 * @category constants
 * @since 0.1.0
 */
export const agent = "gemini-cli"

type Payload = Readonly<Record<string, unknown>>

/** Two uses of a tool at the same moment are told apart by what they were given. */
const toolUseId = ({ timestamp, tool_input: input, tool_name: tool }: Payload): string | undefined =>
  typeof timestamp === "string" ? `${timestamp}-${fnv1a(`${String(tool)} ${JSON.stringify(input)}`)}` : undefined

/** The context of a hook, which the model may repeat. */
const hookContext = /<hook_context>[^]*?<\/hook_context>|&lt;hook_context&gt;[^]*?&lt;\/hook_context&gt;/g

const withoutHookContext = (text: unknown): unknown =>
  typeof text === "string" && text.includes("hook_context") ? text.replace(hookContext, "").trim() : text

/** Each event in the words of Claude Code. */
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

/** `PreCompress` comes before every request to the model, long before anything is compressed. */
const ignored: ReadonlySet<unknown> = new Set([
  "AfterModel",
  "BeforeModel",
  "BeforeTool",
  "BeforeToolSelection",
  "Notification",
  "PreCompress"
])

/**
 * The events that memory has a use for. `PreCompress` is none of them: it comes before every request to the model, long
 * before anything is compressed.
 *
 * @category constants
 * @since 0.1.0
 */
export const events: ReadonlyArray<string> = Object.keys(translations).filter((name) => name !== "PreCompress")

/**
 * Where Gemini CLI names the folder of the project.
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

/** An event of Claude Code that Gemini CLI does not have is unknown, as any other name is. */
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
 * Reads what Gemini CLI sent to a hook.
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
 * The answer as Gemini CLI takes it: always a JSON object, with context only where context does no harm, and a message
 * only where its user is looking. The context of a start does harm: without a terminal it is put before the prompt, and
 * a session that is taken up again has lost that prompt.
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
