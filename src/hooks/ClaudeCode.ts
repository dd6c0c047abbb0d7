/**
 * The adapter for Claude Code: what it sends to a hook, and what it may be answered.
 *
 * Only what memory needs is read, fields that are not known are passed over, and a field of the wrong type that can be
 * done without counts as missing: a newer client must not break the hooks.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { HookEvent, SessionSource, ToolCall } from "./HookEvent.ts"
import type { HookOutput } from "./HookOutput.ts"
import { projectVariables } from "./internal/projectVariables.ts"

/**
 * The agent's name in keys.
 *
 * @category constants
 * @since 0.1.0
 */
export const agent = "claude-code"

/**
 * Where Claude Code names the folder of the project.
 *
 * @category constants
 * @since 0.1.0
 */
export const projectVariable: string | undefined = projectVariables.claude

/**
 * What differs in an agent that speaks as Claude Code does.
 *
 * @category models
 * @since 0.1.0
 */
export interface Dialect {
  /** Its name in keys. */
  readonly agent: string
  /** Its name in messages. */
  readonly title: string
  /** Its tools that change the files they are given. */
  readonly changingTools: ReadonlySet<string>
}

/**
 * What was sent is no event of the agent. The message names the field and what was expected, never its value.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidPayload extends Schema.TaggedError<InvalidPayload>("athena-hooks/hooks/ClaudeCode/InvalidPayload")(
  "InvalidPayload",
  {
    detail: Schema.String,
    /** The agent that it was taken for; Claude Code where absent. */
    title: Schema.optional(Schema.String)
  }
) {
  override get message(): string {
    return `not a ${this.title ?? "Claude Code"} hook event: ${this.detail}`
  }
}

/** A field that can be done without. */
const lenient = <S extends Schema.Codec<unknown, unknown>>(schema: S) =>
  Schema.optional(schema.pipe(Schema.catchDecoding(() => Effect.succeed(Option.none<S["Type"]>()))))

/** Two of them, with what kind of event it is, fit into the key of an event. */
const Id = Schema.String.check(Schema.isBetweenLength(1, 96))

const Common = {
  session_id: Id,
  cwd: Schema.String.check(Schema.isBetweenLength(1, 4096)),
  prompt_id: lenient(Id)
}

const ToolFields = {
  tool_name: Schema.String.check(Schema.isBetweenLength(1, 256)),
  tool_input: Schema.optional(Schema.Unknown),
  tool_use_id: lenient(Id)
}

const DurationMs = lenient(Schema.Natural)

const Head = Schema.Struct({ hook_event_name: Schema.String, session_id: Id })

/** Made when such an event comes: a hook process sees one of them. */
const event = <F extends Schema.Struct.Fields>(fields: () => F) => Schema.suspend(() => Schema.Struct(fields()))

const wire = {
  SessionStart: event(() => ({ ...Common, source: lenient(Schema.String) })),
  UserPromptSubmit: event(() => ({ ...Common, prompt: Schema.String })),
  PostToolUse: event(() => ({ ...Common, ...ToolFields, duration_ms: DurationMs })),
  PostToolUseFailure: event(() => ({
    ...Common,
    ...ToolFields,
    error: lenient(Schema.String),
    duration_ms: DurationMs
  })),
  PostToolBatch: event(() => ({
    ...Common,
    tool_calls: Schema.Array(Schema.Struct({ ...ToolFields, tool_response: Schema.optional(Schema.Unknown) }))
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
  SessionEnd: event(() => ({ ...Common, reason: lenient(Schema.String) }))
} as const

/**
 * The events that memory has a use for: those a hook is to be installed for.
 *
 * @category constants
 * @since 0.1.0
 */
export const events: ReadonlyArray<string> = Object.keys(wire)

/** Events that exist and that memory has no use for. */
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
  "PostModelSwitch",
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

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** The fields of a tool's input that say best what was done, in this order. */
const subjectFields = ["command", "file_path", "notebook_path", "pattern", "url", "query", "description", "prompt"]

/** How much of what a tool was given or said is told: enough to see a secret whole before it is taken out. */
const toldLength = 8_000

const subject = (input: unknown): string => {
  if (!isRecord(input)) return ""
  const field = subjectFields.map((name) => input[name]).find((value) => typeof value === "string" && value !== "")
  if (typeof field === "string") return field.slice(0, toldLength)
  const fields = Object.entries(input)
    .slice(0, 100)
    .map(([name, value]) => (typeof value === "string" ? `${name}=${value.slice(0, toldLength)}` : name))
  return fields.join(" ").slice(0, toldLength)
}

const fileFields = ["file_path", "notebook_path", "path"]

const files = (input: unknown): ReadonlyArray<string> =>
  isRecord(input)
    ? fileFields
        .map((name) => input[name])
        .filter((value) => typeof value === "string")
        .filter((file) => file.length > 0 && file.length <= 4096)
    : []

const claude: Dialect = {
  agent,
  title: "Claude Code",
  changingTools: new Set(["Edit", "MultiEdit", "NotebookEdit", "Write"])
}

const toolCall = (
  call: {
    readonly tool_name: string
    readonly tool_input?: unknown
    readonly tool_use_id?: string | undefined
    readonly duration_ms?: number | undefined
  },
  error: string | undefined,
  { changingTools }: Dialect
): ToolCall => ({
  id: call.tool_use_id,
  tool: call.tool_name,
  subject: subject(call.tool_input),
  outcome: error === undefined ? "success" : "failure",
  error,
  durationMs: call.duration_ms === undefined ? undefined : Math.min(call.duration_ms, 2_147_483_647),
  files: files(call.tool_input),
  changes: changingTools.has(call.tool_name)
})

/** A batch tells of a failed call only in the text of its answer. */
const batchError = (response: unknown): string | undefined => {
  if (typeof response !== "string") return undefined
  const told = response.slice(0, toldLength)
  const toolError = /^<tool_use_error>([^]*)/.exec(told)?.[1]
  if (toolError !== undefined) return toolError.replace(/<\/tool_use_error>[^]*$/, "")
  return /^[A-Za-z]{1,40}(?::[^\s]{1,200})? hook error: /.test(told) ? told : undefined
}

/** The agent tells itself of a background command by a prompt that no person wrote. */
const isNotification = (prompt: string): boolean => prompt.startsWith("<task-notification>")

type Decoded = { readonly [K in keyof typeof wire]: (typeof wire)[K]["Type"] }

const toEvent: {
  readonly [K in keyof typeof wire]: (
    body: Decoded[K],
    session: { readonly agent: string; readonly sessionId: string; readonly cwd: string },
    dialect: Dialect
  ) => HookEvent
} = {
  SessionStart: (body, session) => ({ _tag: "SessionStart", ...session, source: toSource(body.source) }),
  UserPromptSubmit: (body, session) => ({
    _tag: "Prompt",
    ...session,
    promptId: body.prompt_id,
    text: body.prompt,
    fromPerson: !isNotification(body.prompt)
  }),
  PostToolUse: (body, session, dialect) => ({
    _tag: "ToolUse",
    ...session,
    calls: [toolCall(body, undefined, dialect)]
  }),
  PostToolUseFailure: (body, session, dialect) => ({
    _tag: "ToolUse",
    ...session,
    calls: [toolCall(body, body.error ?? "failed", dialect)]
  }),
  PostToolBatch: (body, session, dialect) => ({
    _tag: "ToolUse",
    ...session,
    calls: body.tool_calls.map((call) => toolCall(call, batchError(call.tool_response), dialect))
  }),
  Stop: (body, session) => ({
    _tag: "Answer",
    ...session,
    promptId: body.prompt_id,
    helperId: undefined,
    text: body.last_assistant_message ?? ""
  }),
  SubagentStop: (body, session) =>
    // A helper without a type is the client's own, such as the one that writes the summary of a compaction.
    body.agent_type === ""
      ? { _tag: "Ignored", ...session, name: "SubagentStop" }
      : {
          _tag: "Answer",
          ...session,
          promptId: body.prompt_id,
          helperId: body.agent_id ?? "helper",
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
  SessionEnd: (body, session) => ({
    _tag: "SessionEnd",
    ...session,
    promptId: body.prompt_id,
    reason: body.reason ?? "other"
  })
}

/** Names the fields that do not fit, and not what is in them. */
const invalid =
  ({ title }: Dialect) =>
  (error: Schema.SchemaError): InvalidPayload =>
    new InvalidPayload({ detail: error.message.replace(/\s+/g, " "), title })

const decodeHead = Schema.decodeUnknownEffect(Head)

const decodeAs = <K extends keyof typeof wire>(
  name: K,
  body: unknown,
  dialect: Dialect
): Effect.Effect<HookEvent, InvalidPayload> =>
  Schema.decodeUnknownEffect(wire[name] as unknown as Schema.Codec<Decoded[K], unknown>)(body).pipe(
    Effect.mapError(invalid(dialect)),
    Effect.map((decoded) =>
      toEvent[name](decoded, { agent: dialect.agent, sessionId: decoded.session_id, cwd: decoded.cwd }, dialect)
    )
  )

/**
 * Reads what an agent sent to a hook that speaks as Claude Code does.
 *
 * @category conversions
 * @since 0.1.0
 */
export const decodeDialect = (dialect: Dialect, body: unknown): Effect.Effect<HookEvent, InvalidPayload> =>
  decodeHead(body).pipe(
    Effect.mapError(invalid(dialect)),
    Effect.flatMap(({ hook_event_name: name, session_id: sessionId }): Effect.Effect<HookEvent, InvalidPayload> => {
      if (Object.hasOwn(wire, name)) return decodeAs(name as keyof typeof wire, body, dialect)
      const { agent, title } = dialect
      if (ignored.has(name)) return Effect.succeed({ _tag: "Ignored", agent, sessionId, cwd: "", name })
      return Effect.fail(new InvalidPayload({ detail: `unknown event ${JSON.stringify(name.slice(0, 100))}`, title }))
    })
  )

/**
 * Reads what Claude Code sent to a hook.
 *
 * @category conversions
 * @since 0.1.0
 */
export const decode = (body: unknown): Effect.Effect<HookEvent, InvalidPayload> => decodeDialect(claude, body)

/**
 * The answer as Claude Code takes it: always a JSON object, with context only where context does no harm, and a message
 * only where its user is looking.
 *
 * @category conversions
 * @since 0.1.0
 */
export const encode = (event: HookEvent, output: HookOutput): string => {
  switch (event._tag) {
    case "SessionStart":
      return answer("SessionStart", output)
    case "Prompt":
      return answer("UserPromptSubmit", output)
    default:
      return "{}"
  }
}

const answer = (hookEventName: string, { context, message }: HookOutput): string =>
  JSON.stringify({
    systemMessage: message || undefined,
    hookSpecificOutput: context === undefined ? undefined : { hookEventName, additionalContext: context }
  })
