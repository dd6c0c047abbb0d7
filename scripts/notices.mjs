/**
 * The notices of the packages inside the bundles, which their licenses require with every copy.
 */
import * as fs from "node:fs"
import * as path from "node:path"

/** The folder of the package of a bundled file; `undefined` for this package. */
const packageOf = (file) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1]

const isNotice = (name) => /^(?:licen[cs]e|copying|notice)(?:[.-]|$)/i.test(name)

const noticeOf = (folder) => {
  const { license, name, version } = JSON.parse(fs.readFileSync(path.join(folder, "package.json"), "utf8"))
  const files = fs.readdirSync(folder).filter(isNotice).toSorted()
  if (files.length === 0)
    throw new Error(
      `${name} is bundled, but has no license file: add one to its package or remove the package from the bundle`
    )
  const texts = files.map((file) => fs.readFileSync(path.join(folder, file), "utf8").trim())
  return { id: `${name}@${version}`, text: [`${name} ${version} (${license})`, ...texts].join("\n\n") }
}

/** The text of all notices, from esbuild's metafile. `root` is the folder to which its paths are relative. */
export const notices = (root, metafiles) => {
  const inputs = metafiles.flatMap(({ outputs }) => Object.values(outputs).flatMap(({ inputs }) => Object.keys(inputs)))
  const folders = new Set(inputs.flatMap((file) => packageOf(file) ?? []))
  const all = new Map([...folders].map((folder) => noticeOf(path.join(root, folder))).map(({ id, text }) => [id, text]))
  const texts = [...all].toSorted(([left], [right]) => (left < right ? -1 : 1)).map(([, text]) => text)
  const line = `\n\n${"-".repeat(78)}\n\n`
  return `The bundles in this folder contain code of these packages.${line}${texts.join(line)}\n`
}
