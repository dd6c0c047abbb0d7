/**
 * Fails where a lock file has a package that npm would install without comparing it with a digest.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"

/** Binaries for other systems that the registry does not offer, so nothing is installed in their place. */
const notOffered = /^node_modules\/@effect\/tsgo-(?:darwin-(?:arm64|x64)|linux-arm(?:64)?|win32-(?:arm64|x64))$/

/** The places of packages in a lock file that have no digest. A link leads to a folder of this repository. */
export const withoutDigest = (lock) =>
  Object.entries(lock.packages)
    .filter(([place, { inBundle, integrity, link }]) => {
      const isPackage = place.includes("node_modules/") && link !== true && inBundle !== true
      return isPackage && integrity?.startsWith("sha512-") !== true
    })
    .map(([place]) => place)
    .filter((place) => !(lock.packages[place].optional === true && notOffered.test(place)))

const lockFiles = ["package-lock.json", ".ci/node-versions/package-lock.json"]

const main = () => {
  const root = fileURLToPath(new URL("..", import.meta.url))
  for (const file of lockFiles) {
    for (const place of withoutDigest(JSON.parse(fs.readFileSync(path.join(root, file), "utf8")))) {
      process.stderr.write(`${file}: ${place} has no sha512 digest\n`)
      process.exitCode = 1
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main()
