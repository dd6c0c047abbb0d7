/**
 * The longest time for the response to each kind of event.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type { HookEvent } from "./HookEvent.ts"

/**
 * The longest time for each event, database included. After it, the response is empty.
 *
 * @category models
 * @since 0.1.0
 */
export type HookDeadlines = Readonly<Record<Exclude<HookEvent["_tag"], "Ignored">, Duration.Input>>

/**
 * The deadlines of a one-shot hook. They bound the agent's wait in a failure; the usual run is far shorter. Claude Code
 * allows 1.5 seconds at a session's end for all hooks together.
 *
 * @category defaults
 * @since 0.1.0
 */
export const oneShot: HookDeadlines = {
  SessionStart: "2 seconds",
  Prompt: "1 second",
  ToolUse: "3 seconds",
  Answer: "3 seconds",
  Compaction: "3 seconds",
  Interruption: "1 second",
  SessionEnd: "1 second"
}

/**
 * The deadlines of the daemon: hardly noticeable for a person, and short where the agent needs no response.
 *
 * @category defaults
 * @since 0.1.0
 */
export const daemon: HookDeadlines = {
  SessionStart: "300 millis",
  Prompt: "100 millis",
  ToolUse: "10 millis",
  Answer: "10 millis",
  Compaction: "10 millis",
  Interruption: "10 millis",
  SessionEnd: "500 millis"
}
