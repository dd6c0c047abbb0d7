/**
 * The few settings of a git repository that say where it belongs. Pure.
 */

/** A setting by its full name in lower case, such as `core.worktree`; a subsection as it stands: `remote.origin.url`. */
export type GitConfig = ReadonlyArray<readonly [name: string, value: string]>

const escapes: Readonly<Record<string, string>> = { n: "\n", t: "\t", b: "\b", '"': '"', "\\": "\\" }

/** A value without its comment, its quotes and the blanks around it. */
const valueOf = (text: string): string => {
  let value = ""
  let quoted = false
  // How much of the value is there to stay: blanks outside quotes stay only before something else.
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

/** The settings in the order of the file. Files that it includes are not read. */
export const parse = (text: string): GitConfig => {
  const config: Array<readonly [string, string]> = []
  let section = ""
  for (const line of text.replace(/\\\r?\n/g, "").split(/\r?\n/)) {
    const header = sectionOf(line)
    section = header ?? section
    // A setting may stand in the line of its section.
    const rest = header === undefined ? line : line.slice(line.indexOf("]") + 1)
    const match = /^\s*([A-Za-z][\w-]*)\s*(?:=(.*))?$/.exec(rest)
    if (match !== null) config.push([`${section}.${match[1]!.toLowerCase()}`, valueOf(match[2] ?? "true")])
  }
  return config
}

/** The last value of a setting, which is the one that counts. */
export const get = (config: GitConfig, name: string): string | undefined =>
  config.findLast(([setting]) => setting === name)?.[1]

/** Whether the repository says that it has no worktree of its own. */
export const isBare = (config: GitConfig): boolean => /^(?:true|yes|on|1)$/i.test(get(config, "core.bare") ?? "")

/** The address of `origin`, else of the remote that stands first. */
export const remoteUrl = (config: GitConfig): string | undefined =>
  config.find(([name, value]) => name === "remote.origin.url" && value !== "")?.[1] ??
  config.find(([name, value]) => /^remote\..+\.url$/.test(name) && value !== "")?.[1]
