/**
 * The record of one process: its report in the form that `ProfileHistory` merges.
 */
import type { Distribution, Operation, ProfileReport, Statement } from "../ProfileReport.ts"
import { calibrate } from "./calibration.ts"
import * as ProfileLog from "./profileLog.ts"

export interface ProfileRecord {
  readonly session: string
  /** The calibration kernel's time, in milliseconds. */
  readonly kernel: number
  /** The report without members that can't be merged. */
  readonly report: ProfileReport
}

/** Omits members that a reader can compute from the rest. */
const withoutDerived = ({ buckets, count, max, min, sum, zeros }: Distribution) =>
  count === 0 ? { buckets } : { count, sum, min, max, zeros, buckets }

const operation = (self: Operation) => ({
  ...self,
  wall: withoutDerived(self.wall),
  thread:
    self.thread === null
      ? null
      : { ...self.thread, active: withoutDerived(self.thread.active), waiting: withoutDerived(self.thread.waiting) }
})

const statement = (self: Statement) => ({
  ...self,
  wall: withoutDerived(self.wall),
  wait: withoutDerived(self.wait),
  execution: withoutDerived(self.execution)
})

/** Encodes the record as one line; `profileRecordReader.ts` decodes it. */
export const encode = ({ kernel, report, session }: ProfileRecord): string =>
  JSON.stringify({
    session,
    kernel,
    report: {
      ...report,
      operations: report.operations.map(operation),
      statements: report.statements.map(statement),
      measured: report.metrics.filter(({ value }) => value !== 0)
    }
  })

/** The maximum number of slow executions per record; the newest remain. */
const maxSlow = 10

/** The call paths of many processes would take more space than everything else. */
const withoutCallPaths = (report: ProfileReport): ProfileReport => ({
  ...report,
  slow: report.slow.slice(-maxSlow),
  slowDropped: report.slowDropped + Math.max(0, report.slow.length - maxSlow),
  callPaths: []
})

/** Writes the record and returns whether that succeeded. */
export const write = (
  folder: string,
  report: ProfileReport,
  session: string | undefined,
  now: () => number
): boolean => {
  try {
    const kernel = calibrate(now)
    return ProfileLog.append(folder, encode({ session: session ?? "", kernel, report: withoutCallPaths(report) }))
  } catch {
    return false
  }
}
