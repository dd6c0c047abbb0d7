/**
 * A module of Node.js by its name, without `import`, which would evaluate parts of it that a hook does not use.
 *
 * A version of Node.js that has no way to do this is too old, and is told so by a script that could be loaded.
 */
export const builtin: typeof process.getBuiltinModule = process.getBuiltinModule ?? (() => undefined)
