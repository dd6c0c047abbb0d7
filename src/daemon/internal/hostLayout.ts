/**
 * Where the resident process of a home and those who look for it meet on this host.
 */
import * as Layout from "./layout.ts"

export const layoutOf = (home: string): Layout.Layout =>
  Layout.of(home, { platform: process.platform, uid: process.getuid?.() })
