/**
 * Where the resident process of a home and those who look for it meet on this host. The shim, which must start at once, is
 * built from it too.
 */
import { nodeBuiltin } from "../internal/nodeBuiltin.ts"
import * as Layout from "./paths.ts"

/** The one path that all names of a folder lead to, links followed; what is not there yet stays as it is named. */
const realPath = (folder: string): string => {
  try {
    return nodeBuiltin("node:fs").realpathSync(folder)
  } catch {
    const { basename, dirname, join } = nodeBuiltin("node:path")
    const above = dirname(folder)
    return above === folder ? folder : join(realPath(above), basename(folder))
  }
}

/** The places of a home. Two names of one home have the same places, so that one process serves both. */
export const hostPaths = (home: string): Layout.Paths =>
  Layout.of(realPath(home), { platform: process.platform, uid: process.getuid?.() })
