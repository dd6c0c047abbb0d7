/**
 * Events of a session, independent of the agent.
 *
 * An adapter such as `ClaudeCode` decodes payloads into these events, and `HookProgram` handles them.
 *
 * @since 0.1.0
 */

interface SessionEvent {
  /** The agent's name, for example `claude-code`; part of every event key. */
  readonly agent: string
  /** 1 to 255 characters. */
  readonly sessionId: string
  /** The agent's working directory. It may change: a session belongs to the project of its first event. */
  readonly cwd: string
}

/**
 * How a session starts: new, resumed, after a clear or a compaction of its context, or as a fork of another session.
 *
 * @category models
 * @since 0.1.0
 */
export type SessionSource = "startup" | "resume" | "clear" | "compact" | "fork"

/**
 * A session starts. The response may contain context.
 *
 * @category models
 * @since 0.1.0
 */
export interface SessionStart extends SessionEvent {
  readonly _tag: "SessionStart"
  readonly source: SessionSource
}

/**
 * A prompt is submitted. The response may contain context.
 *
 * @category models
 * @since 0.1.0
 */
export interface Prompt extends SessionEvent {
  readonly _tag: "Prompt"
  readonly promptId: string | undefined
  /** The user's text, if any, without the blocks that the client prepends. */
  readonly text: string
  /** `false` for a prompt that the client generates, for example when a background command finishes. */
  readonly isFromUser: boolean
  /** The session's transcript, if it contains tool calls that the agent does not report otherwise. */
  readonly transcript?: string | undefined
}

/**
 * One tool call.
 *
 * @category models
 * @since 0.1.0
 */
export interface ToolCall {
  /**
   * The agent's id of the call. Some providers restart their numbering at each turn, so it identifies the call only
   * together with the turn and the input.
   */
  readonly id: string | undefined
  /** The id under which earlier releases stored the call, if it differs. */
  readonly earlierId: string | undefined
  readonly tool: string
  /** Hash of the tool's name and input, equal in all events that report the call. */
  readonly inputHash: string
  /** One line that describes the call: its command, file or pattern. */
  readonly subject: string
  /** `unknown` if the agent does not report it. */
  readonly outcome: "success" | "failure" | "unknown"
  /** The reason of a failure. */
  readonly error: string | undefined
  /** In milliseconds. */
  readonly durationMs: number | undefined
  /** The agent's timestamp, in milliseconds since 1970; the time of the event when absent. */
  readonly endedAtMs?: number | undefined
  readonly files: ReadonlyArray<string>
  /** Whether the call changes its files rather than reading them. */
  readonly changesFiles: boolean
}

/**
 * One or more tool calls ended.
 *
 * @category models
 * @since 0.1.0
 */
export interface ToolUse extends SessionEvent {
  readonly _tag: "ToolUse"
  readonly promptId: string | undefined
  readonly calls: ReadonlyArray<ToolCall>
}

/**
 * The agent or a subagent has finished. The response must be empty: any text makes the agent continue.
 *
 * @category models
 * @since 0.1.0
 */
export interface Answer extends SessionEvent {
  readonly _tag: "Answer"
  readonly promptId: string | undefined
  /** The subagent's id; `undefined` for the agent itself. */
  readonly subagentId: string | undefined
  readonly text: string
}

/**
 * The session's context is being compacted, or has been. The response must be empty.
 *
 * @category models
 * @since 0.1.0
 */
export interface Compaction extends SessionEvent {
  readonly _tag: "Compaction"
  readonly promptId: string | undefined
  readonly trigger: string
  /** The summary, after the compaction. */
  readonly summary: string | undefined
}

/**
 * The user interrupted the agent. The response must be empty and fast.
 *
 * @category models
 * @since 0.1.0
 */
export interface Interruption extends SessionEvent {
  readonly _tag: "Interruption"
  readonly promptId: string | undefined
}

/**
 * The session ended. The response must be empty and fast.
 *
 * @category models
 * @since 0.1.0
 */
export interface SessionEnd extends SessionEvent {
  readonly _tag: "SessionEnd"
  readonly promptId: string | undefined
  /** The agent's timestamp, in milliseconds since 1970. */
  readonly endedAtMs: number | undefined
  readonly reason: string
  /** As at a prompt. */
  readonly transcript?: string | undefined
}

/**
 * An event without use for the memory.
 *
 * @category models
 * @since 0.1.0
 */
export interface Ignored extends SessionEvent {
  readonly _tag: "Ignored"
  readonly name: string
}

/**
 * Any event of a session.
 *
 * @category models
 * @since 0.1.0
 */
export type HookEvent = SessionStart | Prompt | ToolUse | Answer | Compaction | Interruption | SessionEnd | Ignored
