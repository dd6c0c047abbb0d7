import { assert, describe, it } from "@effect/vitest"
import * as DaemonProbe from "../../src/daemon/DaemonProbe.ts"
import { version } from "../../src/internal/version.ts"
import type { DaemonStatus } from "../../src/daemon/DaemonStatus.ts"

const events = { accepted: 9, stored: 9, waiting: 0, deadLetters: 0, dropped: 0, lastFailure: null }

const status = (of: Partial<typeof events>): DaemonStatus => ({
  health: {
    name: "athena-hooks",
    protocol: "1",
    version,
    instance: "i-1",
    pid: 1,
    startedAt: "2026-01-01T00:00:00.000Z",
    home: "/home/me/.athena",
    port: 21_234,
    problem: null
  },
  uptimeMs: 1,
  idleMs: 1,
  database: "embedded",
  memory: { rss: 1, heapUsed: 1 },
  responses: { stored: 9, timedOut: 0, failed: 0, invalid: 0, overloaded: 0, running: 0 },
  latencies: [],
  cache: null,
  events: { ...events, ...of },
  pool: null
})

describe("the daemon in athena status", () => {
  it("reports no problem if every event is stored", () => {
    assert.deepStrictEqual(DaemonProbe.running(status({})).problems, [])
  })

  it("reports the number of lost events", () => {
    const summary = DaemonProbe.running(status({ dropped: 2 }))
    const problem = "2 events are lost: neither the disk nor the database stored them; see: athena doctor"
    assert.deepStrictEqual(summary.problems, [problem])
    assert.include(DaemonProbe.lines(summary).join("\n"), `-> ${problem}`)
  })
})
