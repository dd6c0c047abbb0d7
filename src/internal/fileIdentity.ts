/**
 * Which file a path leads to at the moment. A file that is held open keeps its mark from every other one.
 */
import * as fs from "node:fs"

/** Its device and number; nothing where there is none, or it can't be looked at. */
export const fileIdentity = (path: string): string | undefined => {
  try {
    const { dev, ino } = fs.lstatSync(path, { bigint: true })
    return `${dev}:${ino}`
  } catch {
    return undefined
  }
}
