/**
 * The profile of one process, written without a service.
 *
 * **When to use**
 *
 * In a process that is too short for `ProfileHistory.layerRecord`, such as a hook. Provide `RetainingRegistry` as the
 * metric registry, take the report, and call `write` last.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Metric from "effect/Metric"
import type { Distribution, Operation, ProfileReport, Statement } from "./ProfileReport.ts"
import { calibrate } from "./internal/calibration.ts"
import * as ProfileLog from "./internal/profileLog.ts"

/**
 * The record of one process, in the form that `ProfileHistory` merges.
 *
 * @category models
 * @since 0.1.0
 */
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

/**
 * Encodes the record as one line.
 *
 * @category conversions
 * @since 0.1.0
 */
export const encode = ({ kernel, report, session }: ProfileRecord): string =>
  JSON.stringify({
    session,
    kernel,
    report: {
      ...report,
      operations: report.operations.map(operation),
      statements: report.statements.map(statement),
      metrics: report.metrics.filter(({ value }) => value !== 0)
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

/**
 * Appends a record to the log of a history folder and returns whether that succeeded.
 *
 * @category combinators
 * @since 0.1.0
 */
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

type Metadata = Metric.Metric.Metadata<any, any>

/**
 * A metric registry that retains the last values of removed metrics. Layers remove their metrics when they close, and
 * the report of a short process is made after that.
 *
 * @category services
 * @since 0.1.0
 */
export class RetainingRegistry extends Map<string, Metadata> {
  override delete(key: string): boolean {
    const metadata = this.get(key)
    if (metadata === undefined) return false
    try {
      const last = metadata.hooks.get(Context.empty())
      this.set(key, { ...metadata, hooks: { ...metadata.hooks, get: () => last } })
      return true
    } catch {
      return super.delete(key)
    }
  }
}
