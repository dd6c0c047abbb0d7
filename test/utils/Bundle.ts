/**
 * A module of the tests as one file.
 */
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as esbuild from "esbuild"
import * as TempFolder from "./TempFolder.ts"

/**
 * Bundles a module with its imports into one file of a temporary folder: loading hundreds of files takes several times as
 * long, which counts where a test starts many processes.
 */
export const make = (module: string) =>
  Effect.map(TempFolder.make, (folder) => {
    const outfile = path.join(folder, "module.mjs")
    const js = 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);'
    esbuild.buildSync({
      entryPoints: [module],
      outfile,
      bundle: true,
      platform: "node",
      format: "esm",
      minify: true,
      banner: { js }
    })
    return outfile
  })
