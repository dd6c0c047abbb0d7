/**
 * Normalizes the URL of a remote, so that two clones of a repository have equal URLs. Pure.
 */

/** The maximum length of a URL, in UTF-16 units. */
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

/** Matches `user@host:path`: unlike a local path, it has a colon before the first slash. */
const scp = /^(?:[^@/\s]*@)?(\[[^\]]+\]|[^:/\\\s]{2,}):(?!\/\/)(.+)$/

/**
 * Returns `host/path` of a URL, `file:path` of a folder; without user, password, query, default port and `.git`, so
 * that ssh and https URLs of a repository are equal. `undefined` if the URL has no path.
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
  // A relative path names a different repository in each folder.
  return text.startsWith("/") ? `file:/${plainPath(text)}` : undefined
}
