/**
 * @effect/sql-sqlite-node 4.0.0-beta.102 imports `effect/unstable/*`, which effect 4.1 calls `effect/*`.
 * This rewrites those import paths in the installed copy. It is idempotent and does nothing to a release
 * that no longer has such imports; delete it once a 4.x stable is on the registry.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"

const dist = fileURLToPath(new URL("../node_modules/@effect/sql-sqlite-node/dist", import.meta.url))
const adaptable = /\.(js|d\.ts)$/

for (const entry of fs.readdirSync(dist, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !adaptable.test(entry.name)) continue
  const file = path.join(entry.parentPath, entry.name)
  const before = fs.readFileSync(file, "utf8")
  const after = before.replaceAll("effect/unstable/", "effect/")
  if (after !== before) fs.writeFileSync(file, after)
}
