/**
 * Node.js facilities for scripts that must start fast.
 *
 * Node.js versions without `process.getBuiltinModule` are unsupported; the script that calls it reports that by
 * `versionProblem`.
 */

/** Loads a Node.js module by name without `import`, which would evaluate parts of it that a hook does not use. */
export const nodeBuiltin: typeof process.getBuiltinModule = process.getBuiltinModule ?? (() => undefined)

export const fs = nodeBuiltin("node:fs")

/** Returns the reason why a version of Node.js is not supported, or `undefined`. */
export const versionProblem = (version: string): string | undefined => {
  const [major = 0, minor = 0] = version.split(".").map(Number)
  return major < 22 || (major === 22 && minor < 19)
    ? `athena needs Node.js 22.19 or newer; this is v${version}: upgrade Node.js`
    : undefined
}
