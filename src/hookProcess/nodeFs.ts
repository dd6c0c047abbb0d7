/**
 * The file system of Node.js, for scripts that must start at once.
 */
import { nodeBuiltin } from "../internal/nodeBuiltin.ts"

export const fs = nodeBuiltin("node:fs")
