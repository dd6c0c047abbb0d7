/**
 * The adapter for Claude Code, and the decoder of its dialects.
 *
 * Decoding tolerates newer clients: unknown fields are ignored, and an optional field of the wrong type counts as
 * absent.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { canonicalJson } from "../../internal/canonicalJson.ts"
import { sha256 } from "../../internal/sha256.ts"
import type { HookEvent, SessionSource, ToolCall } from "../HookEvent.ts"
import type { HookOutput } from "../HookOutput.ts"
import { projectVariables } from "../../internal/projectVariables.ts"
import * as Outcome from "../internal/toolOutcome.ts"
import * as PromptOrigin from "../../memory/PromptOrigin.ts"

/**
 * The agent's name in event keys.
 *
 * @category constants
 * @since 0.1.0
 */
export const agent = "claude-code"

/**
 * The environment variable in which Claude Code passes the project's folder.
 *
 * @category constants
 * @since 0.1.0
 */
export const projectVariable: string | undefined = projectVariables.claude

/**
 * The differences of an agent whose payloads follow Claude Code's format.
 *
 * @category models
 * @since 0.1.0
 */
export interface Dialect {
  /** The agent's name in event keys. */
  readonly agent: string
  /** The agent's name in messages. */
  readonly title: string
  /** The tools that change the files in their input. */
  readonly changingTools: ReadonlySet<string>
  /** The outcome of a call, from its response, and its status if the event has one. */
  readonly outcomeOf: (tool: string, response: unknown, status?: string) => Outcome.ToolOutcome
  /** Whether only the transcript contains the calls of an interrupted batch. */
  readonly hasOpenBatches?: boolean | undefined
  /** The files of a call whose input has no file field. */
  readonly filesOf?: ((tool: string, input: unknown, cwd: string) => ReadonlyArray<string>) | undefined
}

/**
 * The payload is not an event of the agent. The message names the field and the expected type, never the value.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidPayload extends Schema.TaggedError<InvalidPayload>(
  "athena-hooks/hooks/adapters/ClaudeCode/InvalidPayload"
)("InvalidPayload", {
  detail: Schema.String,
  /** The agent's name; Claude Code when absent. */
  title: Schema.optional(Schema.String)
}) {
  override get message(): string {
    return `not a ${this.title ?? "Claude Code"} hook event: ${this.detail}`
  }
}

/** An optional field; an invalid value counts as absent. */
const lenient = <S extends Schema.Codec<unknown, unknown>>(schema: S) =>
  Schema.optional(schema.pipe(Schema.catchDecoding(() => Effect.succeed(Option.none<S["Type"]>()))))

/** An id of any length: it is stored as part of a hash. */
const Id = Schema.String.check(Schema.isMinLength(1))

/** Bounded by its column in the tables. */
const SessionId = Schema.String.check(Schema.isBetweenLength(1, 255))

const Common = {
  session_id: SessionId,
  cwd: Schema.String.check(Schema.isBetweenLength(1, 4096)),
  prompt_id: lenient(Id)
}

const Transcript = lenient(Schema.String.check(Schema.isBetweenLength(1, 4096)))

const ToolFields = {
  tool_name: Schema.String.check(Schema.isBetweenLength(1, 256)),
  tool_input: Schema.optional(Schema.Unknown),
  tool_response: Schema.optional(Schema.Unknown),
  tool_use_id: lenient(Id),
  tool_call_id: lenient(Id),
  status: lenient(Schema.String)
}

const DurationMs = lenient(Schema.Natural)

const Envelope = Schema.Struct({ hook_event_name: Schema.String, session_id: SessionId })

/** Built on first use: a hook process decodes one kind of event. */
const event = <F extends Schema.Struct.Fields>(fields: () => F) => Schema.suspend(() => Schema.Struct(fields()))

const payloads = {
  SessionStart: event(() => ({ ...Common, source: lenient(Schema.String) })),
  UserPromptSubmit: event(() => ({ ...Common, prompt: Schema.String, transcript_path: Transcript })),
  PostToolUse: event(() => ({ ...Common, ...ToolFields, duration_ms: DurationMs })),
  PostToolUseFailure: event(() => ({
    ...Common,
    ...ToolFields,
    error: lenient(Schema.String),
    duration_ms: DurationMs
  })),
  PostToolBatch: event(() => ({
    ...Common,
    // `timestamp` is that of a transcript.
    tool_calls: Schema.Array(Schema.Struct({ ...ToolFields, timestamp: lenient(Schema.String) }))
  })),
  Stop: event(() => ({ ...Common, last_assistant_message: lenient(Schema.String) })),
  SubagentStop: event(() => ({
    ...Common,
    last_assistant_message: lenient(Schema.String),
    agent_id: lenient(Id),
    agent_type: lenient(Schema.String)
  })),
  PreCompact: event(() => ({ ...Common, trigger: lenient(Schema.String) })),
  PostCompact: event(() => ({ ...Common, trigger: lenient(Schema.String), compact_summary: lenient(Schema.String) })),
  Interrupt: event(() => Common),
  SessionEnd: event(() => ({
    ...Common,
    reason: lenient(Schema.String),
    timestamp: lenient(Schema.String),
    transcript_path: Transcript
  }))
} as const

/** Events that other agents send, and `PostToolUse`: `PostToolBatch` reports the same calls in one payload. */
const notInstalled = new Set(["Interrupt", "PostToolUse"])

/**
 * The hook events to install.
 *
 * @category constants
 * @since 0.1.0
 */
export const events: ReadonlyArray<string> = Object.keys(payloads).filter((name) => !notInstalled.has(name))

/** Known events without use for the memory. */
const ignored = new Set([
  "ConfigChange",
  "CwdChanged",
  "DirectoryAdded",
  "Elicitation",
  "ElicitationResult",
  "FileChanged",
  "InstructionsLoaded",
  "MessageDisplay",
  "Notification",
  "PermissionDenied",
  "PermissionRequest",
  "PostModelRequest",
  "PostModelSwitch",
  "PreModelRequest",
  "PreModelSwitch",
  "PreToolUse",
  "Setup",
  "StopFailure",
  "SubagentStart",
  "TaskCompleted",
  "TaskCreated",
  "TeammateIdle",
  "UserPromptExpansion",
  "WorktreeCreate",
  "WorktreeRemove"
])

const sources: ReadonlySet<string> = new Set<SessionSource>(["startup", "resume", "clear", "compact", "fork"])

const toSource = (source: string | undefined): SessionSource =>
  source !== undefined && sources.has(source) ? (source as SessionSource) : "startup"

const { isRecord } = Outcome

/** The input fields that describe a call best, in this order. */
const subjectFields = ["command", "file_path", "notebook_path", "pattern", "url", "query", "description", "prompt"]

const subject = (input: unknown): string => {
  if (!isRecord(input)) return ""
  const field = subjectFields.map((name) => input[name]).find((value) => typeof value === "string" && value !== "")
  if (typeof field === "string") return field
  const fields = Object.entries(input)
    .slice(0, 100)
    .map(([name, value]) => (typeof value === "string" ? `${name}=${value}` : name))
  return fields.join(" ")
}

const fileFields = ["file_path", "notebook_path", "path"]

const files = (input: unknown): ReadonlyArray<string> =>
  isRecord(input)
    ? fileFields
        .map((name) => input[name])
        .filter((value) => typeof value === "string")
        .filter((file) => file.length > 0 && file.length <= 4096)
    : []

const dialect: Dialect = {
  agent,
  title: "Claude Code",
  changingTools: new Set(["Edit", "MultiEdit", "NotebookEdit", "Write"]),
  outcomeOf: Outcome.ofClaude,
  hasOpenBatches: true
}

/** Athena's own tools, as the agents spell them: their responses are stored already. */
const ownToolName = /^mcp_{1,2}(?:plugin_)?athena(?:[-_]?hooks)?(?![a-z])/i

interface ToolPayload {
  readonly tool_name: string
  readonly tool_input?: unknown
  readonly tool_response?: unknown
  readonly tool_use_id?: string | undefined
  readonly tool_call_id?: string | undefined
  readonly status?: string | undefined
  readonly timestamp?: string | undefined
  readonly duration_ms?: number | undefined
}

const toToolCall = (
  call: ToolPayload,
  outcome: Outcome.ToolOutcome,
  cwd: string,
  { changingTools, filesOf }: Dialect
): ToolCall => {
  const { tool_input: input, tool_name: tool } = call
  const found = filesOf?.(tool, input, cwd) ?? []
  return {
    // An agent that sends both regenerates `tool_use_id` for each event.
    id: call.tool_call_id ?? call.tool_use_id,
    earlierId: call.tool_use_id,
    tool,
    inputHash: sha256(`${tool}\n${canonicalJson(input)}`),
    subject: subject(input),
    outcome: outcome.outcome,
    error: outcome.outcome === "failure" ? outcome.error : undefined,
    durationMs: call.duration_ms === undefined ? undefined : Math.min(call.duration_ms, 2_147_483_647),
    endedAtMs: epochMillisOf(call.timestamp),
    files: found.length > 0 ? found : files(input),
    changesFiles: changingTools.has(tool) || found.length > 0
  }
}

/** The tool calls, without those of Athena's own tools. */
const toToolUse = <Call extends ToolPayload>(
  body: { readonly prompt_id?: string | undefined },
  session: Session,
  dialect: Dialect,
  calls: ReadonlyArray<Call>,
  outcome: (call: Call) => Outcome.ToolOutcome
): HookEvent => {
  const others = calls.filter((call) => !ownToolName.test(call.tool_name))
  return others.length === 0 && calls.length > 0
    ? { _tag: "Ignored", ...session, name: "memory's own tool" }
    : {
        _tag: "ToolUse",
        ...session,
        promptId: body.prompt_id,
        calls: others.map((call) => toToolCall(call, outcome(call), session.cwd, dialect))
      }
}

interface Session {
  readonly agent: string
  readonly sessionId: string
  readonly cwd: string
}

const transcriptOf = (body: { readonly transcript_path?: string | undefined }, { hasOpenBatches }: Dialect) =>
  hasOpenBatches === true ? body.transcript_path : undefined

/** A prompt with its origin; one without text, such as a single image, is ignored. */
const toPrompt = (body: Decoded["UserPromptSubmit"], session: Session, dialect: Dialect): HookEvent => {
  const { prompt: text } = body
  if (text.trim() === "") return { _tag: "Ignored", ...session, name: "empty prompt" }
  const words = PromptOrigin.userText(text)
  return {
    _tag: "Prompt",
    ...session,
    promptId: body.prompt_id,
    text: words ?? text,
    isFromUser: words !== undefined,
    transcript: transcriptOf(body, dialect)
  }
}

const epochMillisOf = (timestamp: string | undefined): number | undefined => {
  const millis = timestamp === undefined ? Number.NaN : Date.parse(timestamp)
  return Number.isNaN(millis) ? undefined : millis
}

type Decoded = { readonly [K in keyof typeof payloads]: (typeof payloads)[K]["Type"] }

const toEvent: {
  readonly [K in keyof typeof payloads]: (body: Decoded[K], session: Session, dialect: Dialect) => HookEvent
} = {
  SessionStart: (body, session) => ({ _tag: "SessionStart", ...session, source: toSource(body.source) }),
  UserPromptSubmit: toPrompt,
  PostToolUse: (body, session, dialect) =>
    toToolUse(body, session, dialect, [body], (call) => dialect.outcomeOf(call.tool_name, call.tool_response)),
  PostToolUseFailure: (body, session, dialect) =>
    toToolUse(body, session, dialect, [body], ({ error }) => Outcome.failure(error ?? "failed")),
  PostToolBatch: (body, session, dialect) =>
    toToolUse(body, session, dialect, body.tool_calls, (call) =>
      dialect.outcomeOf(call.tool_name, call.tool_response, call.status)
    ),
  Stop: (body, session) => ({
    _tag: "Answer",
    ...session,
    promptId: body.prompt_id,
    subagentId: undefined,
    text: body.last_assistant_message ?? ""
  }),
  SubagentStop: (body, session) =>
    // A subagent without a type is the client's own, such as the one that summarises a compaction.
    body.agent_type === ""
      ? { _tag: "Ignored", ...session, name: "SubagentStop" }
      : {
          _tag: "Answer",
          ...session,
          promptId: body.prompt_id,
          subagentId: body.agent_id ?? "helper",
          text: body.last_assistant_message ?? ""
        },
  PreCompact: (body, session) => ({
    _tag: "Compaction",
    ...session,
    promptId: body.prompt_id,
    trigger: body.trigger ?? "manual",
    summary: undefined
  }),
  PostCompact: (body, session) => ({
    _tag: "Compaction",
    ...session,
    promptId: body.prompt_id,
    trigger: body.trigger ?? "manual",
    summary: body.compact_summary ?? ""
  }),
  Interrupt: (body, session) => ({ _tag: "Interruption", ...session, promptId: body.prompt_id }),
  SessionEnd: (body, session, dialect) => ({
    _tag: "SessionEnd",
    ...session,
    promptId: body.prompt_id,
    endedAtMs: epochMillisOf(body.timestamp),
    reason: body.reason ?? "other",
    transcript: transcriptOf(body, dialect)
  })
}

/** Names the invalid fields without their values. */
const invalid =
  ({ title }: Dialect) =>
  (error: Schema.SchemaError): InvalidPayload =>
    new InvalidPayload({ detail: error.message.replace(/\s+/g, " "), title })

const decodeEnvelope = Schema.decodeUnknownEffect(Envelope)

const decodeAs = <K extends keyof typeof payloads>(
  name: K,
  body: unknown,
  dialect: Dialect
): Effect.Effect<HookEvent, InvalidPayload> =>
  Schema.decodeUnknownEffect(payloads[name] as unknown as Schema.Codec<Decoded[K], unknown>)(body).pipe(
    Effect.mapError(invalid(dialect)),
    Effect.map((decoded) =>
      toEvent[name](decoded, { agent: dialect.agent, sessionId: decoded.session_id, cwd: decoded.cwd }, dialect)
    )
  )

/** An unknown event name is untrusted text: only one that looks like an identifier appears in messages. */
const nameForMessage = (name: string): string =>
  /^[A-Za-z][A-Za-z0-9_]{0,47}(?: of [A-Za-z ]{1,16})?$/.test(name)
    ? `"${name}"`
    : `(${name.length} characters, no name)`

/**
 * Decodes a payload of an agent that follows Claude Code's format.
 *
 * @category conversions
 * @since 0.1.0
 */
export const decodeDialect = (dialect: Dialect, body: unknown): Effect.Effect<HookEvent, InvalidPayload> =>
  decodeEnvelope(body).pipe(
    Effect.mapError(invalid(dialect)),
    Effect.flatMap(({ hook_event_name: name, session_id: sessionId }): Effect.Effect<HookEvent, InvalidPayload> => {
      if (Object.hasOwn(payloads, name)) return decodeAs(name as keyof typeof payloads, body, dialect)
      const { agent, title } = dialect
      if (ignored.has(name)) return Effect.succeed({ _tag: "Ignored", agent, sessionId, cwd: "", name })
      return Effect.fail(new InvalidPayload({ detail: `unknown event ${nameForMessage(name)}`, title }))
    })
  )

/**
 * Decodes a payload of Claude Code.
 *
 * @category conversions
 * @since 0.1.0
 */
export const decode = (body: unknown): Effect.Effect<HookEvent, InvalidPayload> => decodeDialect(dialect, body)

/**
 * Encodes the response: always a JSON object, with context and a user message only at a session's start and at a
 * prompt.
 *
 * @category conversions
 * @since 0.1.0
 */
export const encode = (event: HookEvent, output: HookOutput): string => {
  switch (event._tag) {
    case "SessionStart":
      return encodeResponse("SessionStart", output)
    case "Prompt":
      return encodeResponse("UserPromptSubmit", output)
    default:
      return "{}"
  }
}

const encodeResponse = (hookEventName: string, { context, message }: HookOutput): string =>
  JSON.stringify({
    systemMessage: message || undefined,
    hookSpecificOutput: context === undefined ? undefined : { hookEventName, additionalContext: context }
  })
