/**
 * What git recorded of the files in a worktree: enough to recognise the worktree. Pure.
 */

/** A file as git saw it last. */
export interface IndexEntry {
  readonly path: string
  /** The lower 32 bits of its number in the file system. */
  readonly ino: number
  /** When it was changed, in whole seconds. */
  readonly mtime: number
}

const fixedBytes = 40

/** The first files of the list; none where it has another form. */
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
    // Names of version 4 are written as a difference to the one before: the first is whole, behind one byte.
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
