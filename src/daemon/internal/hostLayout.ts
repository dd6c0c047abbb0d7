/**
 * Where the resident process of a home and those who look for it meet on this host.
 */
import * as os from "node:os"
import * as Layout from "./layout.ts"

/** The folder for what is passing comes from the environment, so it is asked for each time. */
export const layoutOf = (home: string): Layout.Layout =>
  Layout.of(home, { platform: process.platform, temporary: os.tmpdir(), uid: process.getuid?.() })
