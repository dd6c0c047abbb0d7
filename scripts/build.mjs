/**
 * Builds `dist`:
 *  - the library, one module a file, by `tsc`;
 *  - the embedded SQLite client as one file, because its package does not load against effect 4.1 unadapted;
 *  - the command line as bundles, so that a hook process reads two files instead of several hundred.
 */
import { execFileSync } from "node:child_process"
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

const shared = {
  absWorkingDir: root,
  bundle: true,
  platform: "node",
  target: "node22.19",
  format: "esm",
  legalComments: "none",
  logLevel: "warning"
}

await esbuild.build({
  ...shared,
  entryPoints: ["src/sql/internal/sqliteClient.ts"],
  outfile: "dist/sql/internal/sqliteClient.js",
  external: ["effect/*"]
})

await esbuild.build({
  ...shared,
  entryPoints: { bin: "src/cli/bin.ts", hook: "src/cli/hook.ts", main: "src/cli/main.ts" },
  outdir: "dist/cli",
  splitting: true,
  minify: true,
  chunkNames: "chunk-[hash]",
  define: { __ATHENA_VERSION__: JSON.stringify(version) }
})

fs.chmodSync(path.join(dist, "cli", "bin.js"), 0o755)
