/**
 * What stands between an agent and the programs: it reads what the agent sends, and writes the answer as it takes it.
 *
 * A module such as `ClaudeCode` is one, as it is.
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
  /** The agent's name in keys. It must never change: what is told twice would be stored twice. */
  readonly agent: string
  /** The events that memory has a use for, in the agent's words. */
  readonly events: ReadonlyArray<string>
  /** The environment variable in which the agent names the folder of the project. */
  readonly projectVariable: string | undefined
  /** Reads what was sent. An event that memory has no use for is `Ignored`; what is no event fails. */
  readonly decode: (body: unknown) => Effect.Effect<HookEvent, InvalidPayload>
  /** The answer, as one JSON object. */
  readonly encode: (event: HookEvent, output: HookOutput) => string
}
