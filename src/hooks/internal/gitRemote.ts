/**
 * The address of a remote in one form, so that two clones show that they are of one repository. Pure.
 */

/** The longest address that is compared, in UTF-16 units. */
const maxLength = 500

const defaultPorts: Readonly<Record<string, string>> = { "ssh:": "22", "git:": "9418" }

const plainPath = (path: string): string =>
  path
    .replace(/\/+$/, "")
    .replace(/\.git$/, "")
    .replace(/^\/+/, "")

const hostOf = ({ hostname, port, protocol }: URL): string => {
  const host = hostname.toLowerCase()
  return port === "" || port === defaultPorts[protocol] ? host : `${host}:${port}`
}

/** `user@host:path`, which is no path of this host: a colon comes before the first slash. */
const scp = /^(?:[^@/\s]*@)?(\[[^\]]+\]|[^:/\\\s]{2,}):(?!\/\/)(.+)$/

/**
 * `host/path` of an address, `file:path` of a folder; without user, password, query, port of the protocol and `.git`, so
 * that ssh and https name the same repository. Nothing where the address says nothing.
 */
export const normalise = (url: string): string | undefined => {
  const text = url.trim()
  if (text === "" || text.length > maxLength) return undefined
  const colons = scp.exec(text)
  if (/^[a-z][\w+.-]*:\/\//i.test(text)) {
    if (!URL.canParse(text)) return undefined
    const parsed = new URL(text)
    if (parsed.protocol === "file:") return `file:/${plainPath(parsed.pathname)}`
    const path = plainPath(parsed.pathname)
    return parsed.hostname === "" || path === "" ? undefined : `${hostOf(parsed)}/${path}`
  }
  if (colons !== null) {
    const path = plainPath(colons[2]!)
    return path === "" ? undefined : `${colons[1]!.toLowerCase()}/${path}`
  }
  // A relative folder names another repository in each place.
  return text.startsWith("/") ? `file:/${plainPath(text)}` : undefined
}
