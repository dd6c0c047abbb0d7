/**
 * Decodes the first entries of a git index, enough to recognise its worktree. Pure.
 */

/** The state of a file when git last updated the index. */
export interface IndexEntry {
  readonly path: string
  /** The lower 32 bits of its inode number. */
  readonly ino: number
  /** The time of its last change, in whole seconds. */
  readonly mtime: number
}

const fixedBytes = 40

/** Returns the first entries; none for an unknown format. */
export const entries = (bytes: Uint8Array, limit: number): ReadonlyArray<IndexEntry> => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < 12 || view.getUint32(0) !== 0x44495243) return []
  const version = view.getUint32(4)
  const count = Math.min(view.getUint32(8), limit)
  const found: Array<IndexEntry> = []
  const idBytes = 20
  for (let at = 12; found.length < count;) {
    const flagsAt = at + fixedBytes + idBytes
    if (flagsAt + 4 > bytes.length) break
    const flags = view.getUint16(flagsAt)
    // Version 4 compresses a name as a difference from the previous one: the first is complete, after one byte.
    const isDifference = version >= 4
    const nameAt = flagsAt + ((flags & 0x4000) === 0 ? 2 : 4) + (isDifference ? 1 : 0)
    const end = bytes.indexOf(0, nameAt)
    if (end < 0) break
    found.push({
      path: new TextDecoder().decode(bytes.subarray(nameAt, end)),
      ino: view.getUint32(at + 20),
      mtime: view.getUint32(at + 8)
    })
    if (isDifference) break
    at += Math.ceil((end + 1 - at) / 8) * 8
  }
  return found
}
