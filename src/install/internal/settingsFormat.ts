/**
 * What can be done with the text of a settings file, whatever its format.
 */
import type * as Result from "effect/Result"
import type { Handler, Wiring } from "../Wiring.ts"
import type { Edit } from "./textEdit.ts"
import type { Problem } from "./syntaxProblem.ts"

export interface Change {
  /** The text after it. */
  readonly text: string
  /** The edits that made it, in steps; each step works on the text that the one before it left. */
  readonly steps: ReadonlyArray<ReadonlyArray<Edit>>
  /** The places of handlers that were there before, empty or not. */
  readonly kept: ReadonlyArray<string>
}

/** A handler of ours. */
export interface Found {
  readonly event: string
  readonly handler: Handler
}

export interface HookText {
  /**
   * Puts in what is missing, replaces what differs, takes out what is ours and no longer wanted. `kept` is that of the
   * change before, where ours are in already.
   */
  readonly install: (text: string, wiring: Wiring, kept?: ReadonlyArray<string>) => Result.Result<Change, Problem>
  /** Takes out all that is ours, and what is left empty by it and not to be kept. */
  readonly uninstall: (text: string, kept: ReadonlyArray<string>) => Result.Result<Change, Problem>
  readonly found: (text: string) => Result.Result<ReadonlyArray<Found>, Problem>
  /** The settings as a value. */
  readonly value: (text: string) => Result.Result<{ readonly value: unknown; readonly comments: boolean }, Problem>
  /** Whether it has handlers of events, whosever they are. */
  readonly hasHooks: (text: string) => boolean
  /** Whether nothing is left that a person would miss. */
  readonly isBlank: (text: string) => boolean
}
