/**
 * Builds `dist`:
 *  - the library by `tsc`, one file per module;
 *  - the command line as bundles, so that a hook process reads one or two files instead of several hundred: the shim,
 *    which sends events to the daemon, and the hooks that run without it: for the embedded database, for Postgres, and
 *    with the profiler.
 */
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import { createRequire } from "node:module"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as esbuild from "esbuild"
import { notices } from "./notices.mjs"

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
    // Licenses are in a separate file.
    legalComments: "none",
    metafile: true,
    logLevel: "warning",
    ...options
  })

const script = (name, outfile, options) => bundle(`src/${name}.ts`, `dist/cli/${outfile}`, { minify: true, ...options })

const ofVersion = { __ATHENA_VERSION__: JSON.stringify(version) }

/** CommonJS, because its loader starts faster, and one file each, because every file costs start-up time. */
const hook = (name, outfile, external = []) => script(name, outfile, { format: "cjs", external, define: ofVersion })

/** Identifies a build of scripts whose compiled code is cached. */
const digest = (...files) =>
  files
    .reduce((hash, file) => hash.update(fs.readFileSync(path.join(dist, file))), createHash("sha256"))
    .digest("hex")
    .slice(0, 32)

/** Each without the modules that it does not need: the Postgres driver, the profiler. */
const hooks = ["", "-postgres", "-profiled", "-profiled-postgres"].map((variant) => `cli/hook${variant}.cjs`)

/** Modules that a hook on the embedded database does not need. */
const ofServers = ["*/ConnectionPool.ts", "*/spooledMemory.ts"]

const ofHooks = await Promise.all([
  hook("hookProcess/hook", "hook.cjs", ofServers),
  hook("hookProcess/hook", "hook-postgres.cjs"),
  hook("hookProcess/hookProfiled", "hook-profiled.cjs", ofServers),
  hook("hookProcess/hookProfiled", "hook-profiled-postgres.cjs")
])

/** The scripts that load these bundles. A UMD module, the `main` of some packages, cannot be bundled. */
const loading = (name, outfile, format, scripts) =>
  script(name, outfile, {
    format,
    define: { ...ofVersion, __ATHENA_BUILD__: JSON.stringify(digest(...scripts)) },
    mainFields: ["module", "main"]
  })

const main = await loading("cli/main", "main.cjs", "cjs", hooks)
const ofCommands = await Promise.all([
  main,
  loading("hookProcess/shim", "shim.cjs", "cjs", [...hooks, "cli/main.cjs"]),
  loading("cli/bin", "bin.js", "esm", [...hooks, "cli/main.cjs"])
])

fs.chmodSync(path.join(dist, "cli", "bin.js"), 0o755)

const metafiles = [...ofHooks, ...ofCommands].map(({ metafile }) => metafile)
fs.writeFileSync(path.join(dist, "THIRD_PARTY_NOTICES.txt"), notices(root, metafiles))
