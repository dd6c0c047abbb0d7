/**
 * Suppresses the experimental warning of `node:sqlite`, which Node.js 22 prints in every process.
 */
export const silence = (): void => {
  const emitWarning = process.emitWarning.bind(process) as (...args: ReadonlyArray<unknown>) => void
  process.emitWarning = (...args: ReadonlyArray<unknown>): void => {
    const [warning, type] = args
    if (type === "ExperimentalWarning" && String(warning).startsWith("SQLite ")) return
    emitWarning(...args)
  }
}
