/**
 * This host, as the places of the resident process depend on it.
 */
import * as os from "node:os"
import type * as Layout from "./layout.ts"

/** Reads what is asked of this host; the folder for what is passing comes from the environment. */
export const host = (): Layout.Host => ({
  platform: process.platform,
  temporary: os.tmpdir(),
  uid: process.getuid?.()
})
