/** The report without measurements. */
import type { Cost, ProfileReport } from "../ProfileReport.ts"

const noCost: Cost = {
  bookkeeping: 0,
  runLoop: 0,
  samples: 0,
  sampleCount: 0,
  switches: 0,
  switchCount: 0,
  primitives: 0,
  total: 0,
  share: 0,
  failures: 0
}

export const emptyReport: ProfileReport = {
  version: 1,
  level: "wall",
  from: 0,
  to: 0,
  budget: 0,
  operations: [],
  overflowed: 0,
  unattributed: null,
  statements: [],
  evicted: { statements: 0, calls: 0 },
  slow: [],
  slowDropped: 0,
  metrics: [],
  callPaths: [],
  cost: noCost
}
