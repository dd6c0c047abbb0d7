/**
 * A folder that only its owner can open. The shim, which must start at once, is built from it too.
 */
import type { Stats } from "node:fs"
import { nodeBuiltin } from "./nodeBuiltin.ts"

/** What is wrong with a folder that should be this user's own and closed to others; nothing where all is well. */
export const problemOf = (
  folder: string
): "absent" | "out of reach" | "not a folder" | "of another user" | "open to others" | undefined => {
  let stats: Stats | undefined
  try {
    stats = nodeBuiltin("node:fs").lstatSync(folder, { throwIfNoEntry: false })
  } catch {
    // Its path leads in a circle, or through a folder that is closed to this user.
    return "out of reach"
  }
  if (stats === undefined) return "absent"
  // A link counts as none: who made it could make it lead elsewhere.
  if (!stats.isDirectory()) return "not a folder"
  if (process.getuid === undefined) return undefined
  if (stats.uid !== process.getuid()) return "of another user"
  return (stats.mode & 0o077) === 0 ? undefined : "open to others"
}
