/**
 * The file system of Node.js, for scripts that must start at once.
 */
import { builtin } from "../internal/nodeBuiltin.ts"

export const fs = builtin("node:fs")
