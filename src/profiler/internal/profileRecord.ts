/**
 * The line that a process leaves of what it has measured.
 */
import type { Distribution, Operation, ProfileReport, Statement } from "../ProfileReport.ts"
import { calibrate } from "./calibration.ts"
import * as Spool from "./profileLog.ts"

export interface Line {
  readonly session: string
  /** How long the calibration kernel took, in milliseconds. */
  readonly kernel: number
  /** Less what is worth nothing together with that of others. */
  readonly report: ProfileReport
}

/** Without what can be computed from the rest. */
const bare = ({ buckets, count, max, min, sum, zeros }: Distribution) =>
  count === 0 ? { buckets } : { count, sum, min, max, zeros, buckets }

const operation = (self: Operation) => ({
  ...self,
  wall: bare(self.wall),
  thread:
    self.thread === null
      ? null
      : { ...self.thread, active: bare(self.thread.active), waiting: bare(self.thread.waiting) }
})

const statement = (self: Statement) => ({
  ...self,
  wall: bare(self.wall),
  wait: bare(self.wait),
  execution: bare(self.execution)
})

/** The line as text; `lineReader.ts` reads it. */
export const encode = ({ kernel, report, session }: Line): string =>
  JSON.stringify({
    session,
    kernel,
    report: {
      ...report,
      operations: report.operations.map(operation),
      statements: report.statements.map(statement),
      measured: report.measured.filter(({ value }) => value !== 0)
    }
  })

/** How many slow executions a line has at most, the newest. */
const maxSlow = 10

/** Call paths of many processes would take more room than all the rest. */
const kept = (report: ProfileReport): ProfileReport => ({
  ...report,
  slow: report.slow.slice(-maxSlow),
  slowDropped: report.slowDropped + Math.max(0, report.slow.length - maxSlow),
  stacks: []
})

/** Writes the line, and says whether that went well. */
export const write = (
  folder: string,
  report: ProfileReport,
  session: string | undefined,
  now: () => number
): boolean => {
  try {
    const kernel = calibrate(now)
    return Spool.append(folder, encode({ session: session ?? "", kernel, report: kept(report) }))
  } catch {
    return false
  }
}
