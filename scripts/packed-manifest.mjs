/**
 * The manifest of the packed package. `strip` removes what only a clone of the repository needs: a `prepare` script would
 * run at every install from a folder or a repository. `restore` puts the manifest of the repository back.
 *
 *     node scripts/packed-manifest.mjs strip|restore
 */
import * as fs from "node:fs"

const manifest = "package.json"
const original = "package.json.original"

const restore = () => {
  if (fs.existsSync(original)) fs.renameSync(original, manifest)
}

const strip = () => {
  // A pack that was killed has left the stripped manifest.
  restore()
  const { allowScripts, devDependencies, scripts, ...packed } = JSON.parse(fs.readFileSync(manifest, "utf8"))
  fs.copyFileSync(manifest, original)
  fs.writeFileSync(`${manifest}.new`, `${JSON.stringify(packed, null, 2)}\n`)
  fs.renameSync(`${manifest}.new`, manifest)
}

const commands = { strip, restore }
commands[process.argv[2]]()
