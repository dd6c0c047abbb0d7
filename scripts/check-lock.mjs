/**
 * Fails if a lock file contains a package without a digest, which npm would install unverified.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"

/** Binaries for other systems that the registry does not have, so they are never installed. */
const notOffered = /^node_modules\/@effect\/tsgo-(?:darwin-(?:arm64|x64)|linux-arm(?:64)?|win32-(?:arm64|x64))$/

/** The locations of packages without a digest in a lock file. Links, to folders of this repository, are excluded. */
export const withoutDigest = (lock) =>
  Object.entries(lock.packages)
    .filter(([location, { inBundle, integrity, link }]) => {
      const isPackage = location.includes("node_modules/") && link !== true && inBundle !== true
      return isPackage && integrity?.startsWith("sha512-") !== true
    })
    .map(([location]) => location)
    .filter((location) => !(lock.packages[location].optional === true && notOffered.test(location)))

const lockFiles = ["package-lock.json", ".ci/node-versions/package-lock.json"]

const main = () => {
  const root = fileURLToPath(new URL("..", import.meta.url))
  for (const file of lockFiles) {
    for (const location of withoutDigest(JSON.parse(fs.readFileSync(path.join(root, file), "utf8")))) {
      process.stderr.write(`${file}: ${location} has no sha512 digest\n`)
      process.exitCode = 1
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main()
