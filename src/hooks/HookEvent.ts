/**
 * What happens in a session, in words of no particular agent.
 *
 * An adapter such as `ClaudeCode` turns what its agent sends into one of these; the programs in `HookProgram` know
 * nothing else.
 *
 * @since 0.1.0
 */

interface SessionEvent {
  /** The agent's name, for example `claude-code`. It is part of every event's key. */
  readonly agent: string
  /** 1 to 255 characters. */
  readonly sessionId: string
  /** Where the agent is now. It wanders: the project of a session is that of its first event. */
  readonly cwd: string
}

/**
 * How a session begins: anew, taken up again, after its context was cleared or compacted, or as a copy of another.
 *
 * @category models
 * @since 0.1.0
 */
export type SessionSource = "startup" | "resume" | "clear" | "compact" | "fork"

/**
 * A session begins. The answer may carry context.
 *
 * @category models
 * @since 0.1.0
 */
export interface SessionStart extends SessionEvent {
  readonly _tag: "SessionStart"
  readonly source: SessionSource
}

/**
 * A prompt is handed in. The answer may carry context.
 *
 * @category models
 * @since 0.1.0
 */
export interface Prompt extends SessionEvent {
  readonly _tag: "Prompt"
  readonly promptId: string | undefined
  /** A person's words where there are any, without what the agent's program put before them. */
  readonly text: string
  /** `false` where the agent itself speaks, for example to say that a background command has finished. */
  readonly isFromUser: boolean
}

/**
 * One use of a tool.
 *
 * @category models
 * @since 0.1.0
 */
export interface ToolCall {
  /**
   * The agent's id of this use. Some providers number their ids anew at each turn, so it names the use only together with
   * the turn and with what the tool was given.
   */
  readonly id: string | undefined
  /** The id under which earlier releases stored this use, where that was another. */
  readonly earlierId: string | undefined
  readonly tool: string
  /** The hash of the tool's name and input: the same in all events that report this use. */
  readonly inputHash: string
  /** What was done, in a line: the command, the file, the pattern. */
  readonly subject: string
  /** `unknown` where the agent does not report it. */
  readonly outcome: "success" | "failure" | "unknown"
  /** What went wrong. */
  readonly error: string | undefined
  /** In milliseconds. */
  readonly durationMs: number | undefined
  readonly files: ReadonlyArray<string>
  /** Whether the files were changed and not only read. */
  readonly changesFiles: boolean
}

/**
 * Tools were used.
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
 * The agent, or a helper of it, has finished its turn. The answer must be empty: any text starts another turn.
 *
 * @category models
 * @since 0.1.0
 */
export interface Answer extends SessionEvent {
  readonly _tag: "Answer"
  readonly promptId: string | undefined
  /** The helper's id, or `undefined` for the agent itself. */
  readonly subagentId: string | undefined
  readonly text: string
}

/**
 * The context of the session is about to be compacted, or was. The answer must be empty.
 *
 * @category models
 * @since 0.1.0
 */
export interface Compaction extends SessionEvent {
  readonly _tag: "Compaction"
  readonly promptId: string | undefined
  readonly trigger: string
  /** What the compaction left, once it is done. */
  readonly summary: string | undefined
}

/**
 * The user has interrupted the agent. The answer must be empty, and soon.
 *
 * @category models
 * @since 0.1.0
 */
export interface Interruption extends SessionEvent {
  readonly _tag: "Interruption"
  readonly promptId: string | undefined
}

/**
 * The session is over. The answer must be empty, and soon.
 *
 * @category models
 * @since 0.1.0
 */
export interface SessionEnd extends SessionEvent {
  readonly _tag: "SessionEnd"
  readonly promptId: string | undefined
  /** When the agent says that it happened, in milliseconds since 1970. */
  readonly endedAtMs: number | undefined
  readonly reason: string
}

/**
 * Something that memory has no use for.
 *
 * @category models
 * @since 0.1.0
 */
export interface Ignored extends SessionEvent {
  readonly _tag: "Ignored"
  readonly name: string
}

/**
 * What happens in a session.
 *
 * @category models
 * @since 0.1.0
 */
export type HookEvent = SessionStart | Prompt | ToolUse | Answer | Compaction | Interruption | SessionEnd | Ignored
