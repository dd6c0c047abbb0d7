/**
 * The interface between an agent and the programs: an adapter decodes the agent's payloads and encodes its responses.
 *
 * A module such as `ClaudeCode` is an adapter as a whole.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type { InvalidPayload } from "./adapters/ClaudeCode.ts"
import type { HookEvent } from "./HookEvent.ts"
import type { HookOutput } from "./HookOutput.ts"

/**
 * The adapter of one agent.
 *
 * @category models
 * @since 0.1.0
 */
export interface HookAdapter {
  /** The agent's name in event keys. It must never change: a redelivered event would be stored twice. */
  readonly agent: string
  /** The hook events to install, under the agent's own names. */
  readonly events: ReadonlyArray<string>
  /** The environment variable in which the agent passes the project's folder. */
  readonly projectVariable: string | undefined
  /** Decodes a payload. An event without use for the memory becomes `Ignored`; anything else fails. */
  readonly decode: (body: unknown) => Effect.Effect<HookEvent, InvalidPayload>
  /** Encodes the response as one JSON object. */
  readonly encode: (event: HookEvent, output: HookOutput) => string
}
