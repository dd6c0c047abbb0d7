/**
 * The line that a process leaves of what it has measured.
 */
import type { ProfileReport } from "../ProfileReport.ts"
import { calibrate } from "./calibration.ts"
import * as Spool from "./spool.ts"

export interface Line {
  readonly session: string
  /** How long the calibration kernel took, in milliseconds. */
  readonly kernel: number
  /** Less what is worth nothing together with that of others. */
  readonly report: ProfileReport
}

/** Writes the line, and says whether that went well. */
export const write = (
  folder: string,
  report: ProfileReport,
  session: string | undefined,
  now: () => number
): boolean => {
  try {
    const kernel = calibrate(now)
    const line: Line = { session: session ?? "", kernel, report: { ...report, slow: [], stacks: [] } }
    return Spool.append(folder, JSON.stringify(line))
  } catch {
    return false
  }
}
