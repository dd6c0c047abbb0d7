/**
 * A module of Node.js by its name, without `import`, which would evaluate parts of it that a hook does not use.
 */
export const builtin: typeof process.getBuiltinModule = process.getBuiltinModule
