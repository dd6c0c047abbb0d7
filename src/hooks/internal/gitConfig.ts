/**
 * Decodes the settings of a git repository that identify it. Pure.
 */

/** A setting by its full name in lower case, such as `core.worktree`; subsections retain their case. */
export type GitConfig = ReadonlyArray<readonly [name: string, value: string]>

const escapes: Readonly<Record<string, string>> = { n: "\n", t: "\t", b: "\b", '"': '"', "\\": "\\" }

/** Returns a value without comment, quotes and surrounding whitespace. */
const valueOf = (text: string): string => {
  let value = ""
  let quoted = false
  // Unquoted trailing whitespace is removed.
  let length = 0
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!
    if (character === '"') {
      quoted = !quoted
      length = value.length
    } else if (!quoted && (character === "#" || character === ";")) break
    else {
      value += character === "\\" ? (escapes[text[++at] ?? ""] ?? "") : character
      if (quoted || !/\s/.test(character)) length = value.length
    }
  }
  return value.slice(0, length).trimStart()
}

const sectionOf = (line: string): string | undefined => {
  const match = /^\s*\[\s*([\w.-]+)\s*(?:"((?:[^"\\]|\\.)*)")?\s*\]/.exec(line)
  if (match === null) return undefined
  const [, section = "", subsection] = match
  return subsection === undefined
    ? section.toLowerCase()
    : `${section.toLowerCase()}.${subsection.replace(/\\(.)/g, "$1")}`
}

/** Returns the settings in the order of the file. Included files are not read. */
export const parse = (text: string): GitConfig => {
  const config: Array<readonly [string, string]> = []
  let section = ""
  for (const line of text.replace(/\\\r?\n/g, "").split(/\r?\n/)) {
    const header = sectionOf(line)
    section = header ?? section
    // A setting may follow its section header on the same line.
    const rest = header === undefined ? line : line.slice(line.indexOf("]") + 1)
    const match = /^\s*([A-Za-z][\w-]*)\s*(?:=(.*))?$/.exec(rest)
    if (match !== null) config.push([`${section}.${match[1]!.toLowerCase()}`, valueOf(match[2] ?? "true")])
  }
  return config
}

/** Returns the last value of a setting, which overrides earlier ones. */
export const get = (config: GitConfig, name: string): string | undefined =>
  config.findLast(([setting]) => setting === name)?.[1]

/** Whether the repository is bare. */
export const isBare = (config: GitConfig): boolean => /^(?:true|yes|on|1)$/i.test(get(config, "core.bare") ?? "")

/** Returns the URL of `origin`, else of the first remote. */
export const remoteUrl = (config: GitConfig): string | undefined =>
  config.find(([name, value]) => name === "remote.origin.url" && value !== "")?.[1] ??
  config.find(([name, value]) => /^remote\..+\.url$/.test(name) && value !== "")?.[1]
