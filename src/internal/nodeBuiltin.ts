/**
 * Loads a Node.js module by name without `import`, which would evaluate parts of it that a hook does not use.
 *
 * Node.js versions without this function are unsupported; the script that calls it reports that.
 */
export const nodeBuiltin: typeof process.getBuiltinModule = process.getBuiltinModule ?? (() => undefined)
