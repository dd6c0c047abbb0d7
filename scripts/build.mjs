/**
 * Builds `dist`:
 *  - the library, one module a file, by `tsc`;
 *  - the embedded SQLite client as one file, because its package does not load against effect 4.1 unadapted;
 *  - the command line as bundles, so that a hook process reads two files instead of several hundred: one without the
 *    Postgres driver, for the embedded database, one with it, and one that is profiled.
 */
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import { createRequire } from "node:module"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as esbuild from "esbuild"

const root = fileURLToPath(new URL("..", import.meta.url))
const dist = path.join(root, "dist")
const require = createRequire(import.meta.url)
const { version } = require("../package.json")

fs.rmSync(dist, { recursive: true, force: true })

execFileSync(
  process.execPath,
  [path.join(root, "node_modules", "typescript", "bin", "tsc"), "-p", "tsconfig.build.json"],
  {
    cwd: root,
    stdio: "inherit"
  }
)

const bundle = (entry, outfile, options) =>
  esbuild.build({
    absWorkingDir: root,
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: "node",
    target: "node22.19",
    legalComments: "none",
    logLevel: "warning",
    ...options
  })

/** CommonJS, because its loader starts faster, and one file each, because every file costs a hook time. */
const command = (name, outfile, external = []) =>
  bundle(`src/cli/${name}.ts`, `dist/cli/${outfile}`, {
    format: "cjs",
    minify: true,
    external,
    define: { __ATHENA_VERSION__: JSON.stringify(version) }
  })

/** Tells one build of the hook from another. */
const digest = (...files) =>
  files
    .reduce((hash, file) => hash.update(fs.readFileSync(path.join(dist, file))), createHash("sha256"))
    .digest("hex")
    .slice(0, 32)

/** Each without what it does not need: the driver of Postgres, the profiler. */
const hooks = ["", "-postgres", "-profiled", "-profiled-postgres"].map((variant) => `cli/hook${variant}.cjs`)

/** What a hook on the embedded database has no use for. */
const ofServers = ["*/ConnectionPool.ts", "*/SharedCache.ts"]

await Promise.all([
  bundle("src/sql/internal/sqliteClient.ts", "dist/sql/internal/sqliteClient.js", {
    format: "esm",
    external: ["effect/*"]
  }),
  command("hook", "hook.cjs", ofServers),
  command("hook", "hook-postgres.cjs"),
  command("hookProfiled", "hook-profiled.cjs", ofServers),
  command("hookProfiled", "hook-profiled-postgres.cjs"),
  command("main", "main.cjs")
])
await bundle("src/cli/bin.ts", "dist/cli/bin.js", {
  format: "esm",
  minify: true,
  define: { __ATHENA_BUILD__: JSON.stringify(digest(...hooks)) }
})

fs.chmodSync(path.join(dist, "cli", "bin.js"), 0o755)
