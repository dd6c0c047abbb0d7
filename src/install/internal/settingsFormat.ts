/**
 * The operations on the text of settings, for every format.
 */
import type * as Result from "effect/Result"
import type { Handler, Wiring } from "../Wiring.ts"
import type { Edit } from "./textEdit.ts"
import type { Problem } from "./syntaxProblem.ts"

export interface Change {
  /** The new text. */
  readonly text: string
  /** The edits in steps; each step applies to the result of the previous one. */
  readonly steps: ReadonlyArray<ReadonlyArray<Edit>>
  /** The lists of handlers that existed before, empty or not. */
  readonly existing: ReadonlyArray<string>
}

/** An installed handler. */
export interface Found {
  readonly event: string
  readonly handler: Handler
}

export interface HookText {
  /**
   * Adds missing handlers, replaces outdated ones, and removes ours that the wiring no longer contains. `existing` is
   * that of the first installation.
   */
  readonly install: (text: string, wiring: Wiring, existing?: ReadonlyArray<string>) => Result.Result<Change, Problem>
  /** Removes our handlers, and lists that become empty unless they are in `existing`. */
  readonly uninstall: (text: string, existing: ReadonlyArray<string>) => Result.Result<Change, Problem>
  readonly found: (text: string) => Result.Result<ReadonlyArray<Found>, Problem>
  /** Parses the settings. */
  readonly value: (text: string) => Result.Result<{ readonly value: unknown; readonly comments: boolean }, Problem>
  /** Whether the settings contain any hooks. */
  readonly hasHooks: (text: string) => boolean
  /** Whether the settings contain nothing that a user could miss. */
  readonly isBlank: (text: string) => boolean
}
