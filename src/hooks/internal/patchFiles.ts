/** How much of a patch is read. */
const maxLength = 4 * 1_048_576

/** How many files of a patch are named. */
const maxFiles = 100

/**
 * The files that a patch of Codex adds, changes, deletes and moves to, each once, as absolute paths where the folder is
 * known.
 */
export const patchFiles = (patch: string, cwd: string): ReadonlyArray<string> => {
  const start = patch.indexOf("*** Begin Patch")
  if (start < 0) return []
  const files = new Set<string>()
  const text = patch.slice(start, start + maxLength)
  for (const [, path] of text.matchAll(/^\*\*\* (?:Add File|Update File|Delete File|Move to): ([^\n]+)$/gm)) {
    const file = path!.trim().replace(/^(?:\.\/)+/, "")
    if (file === "" || file.length > 4_096) continue
    const absolute = /^(?:\/|[A-Za-z]:[\\/]|\\\\)/.test(file) ? file : `${cwd.replace(/\/+$/, "")}/${file}`
    if (absolute.length <= 4_096) files.add(absolute)
    if (files.size === maxFiles) break
  }
  return [...files]
}
