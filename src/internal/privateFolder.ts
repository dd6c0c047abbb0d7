/** A folder that only its owner can access. Part of the shim, whose start-up time matters. */
import type { Stats } from "node:fs"
import { nodeBuiltin } from "./nodeBuiltin.ts"

/** The problem of a folder that should belong to this user and be inaccessible to others; `undefined` without one. */
export const problemOf = (
  folder: string
): "absent" | "out of reach" | "not a folder" | "of another user" | "open to others" | undefined => {
  let stats: Stats | undefined
  try {
    stats = nodeBuiltin("node:fs").lstatSync(folder, { throwIfNoEntry: false })
  } catch {
    // The path has a loop of links, or leads through an inaccessible folder.
    return "out of reach"
  }
  if (stats === undefined) return "absent"
  // A link does not count: its creator controls the target.
  if (!stats.isDirectory()) return "not a folder"
  if (process.getuid === undefined) return undefined
  if (stats.uid !== process.getuid()) return "of another user"
  return (stats.mode & 0o077) === 0 ? undefined : "open to others"
}
