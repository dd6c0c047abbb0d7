/**
 * The file system of Node.js, taken without `import`, which would evaluate parts of it that a hook does not use.
 */
export const fs = process.getBuiltinModule("node:fs")
