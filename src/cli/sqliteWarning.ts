/**
 * Node.js 22 warns on standard error of every process that loads `node:sqlite`; a command that opens a database would
 * print that warning each time it runs.
 */
export const silence = (): void => {
  const emitWarning = process.emitWarning.bind(process) as (...args: ReadonlyArray<unknown>) => void
  process.emitWarning = (...args: ReadonlyArray<unknown>): void => {
    const [warning, type] = args
    if (type === "ExperimentalWarning" && String(warning).startsWith("SQLite ")) return
    emitWarning(...args)
  }
}
