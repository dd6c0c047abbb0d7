/**
 * Finds the end of a JSON value in chunks, so that a hook does not wait for a sender that leaves the stream open. It
 * reads each byte once.
 */

const quote = 0x22
const backslash = 0x5c

/** Whitespace, or a byte of a byte order mark. */
const isBefore = (byte: number): boolean =>
  byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09 || byte === 0xef || byte === 0xbb || byte === 0xbf

const opens = (byte: number): boolean => byte === 0x7b || byte === 0x5b
const closes = (byte: number): boolean => byte === 0x7d || byte === 0x5d

/**
 * Makes a function that receives chunks and returns the offset behind the object or array in the current chunk, or -1.
 * It finds no end in other input.
 */
export const make = (): ((piece: Uint8Array) => number) => {
  let depth = 0
  let isOther = false
  let inString = false
  /** Whether the last byte of the previous chunk escapes the first byte of this one. */
  let isEscaped = false

  /** Returns the offset behind the closing quote, or the end of the chunk. */
  const skipString = (piece: Uint8Array, from: number): number => {
    let at = isEscaped ? from + 1 : from
    isEscaped = false
    for (;;) {
      const found = piece.indexOf(quote, at)
      const end = found < 0 ? piece.length : found
      let first = end
      while (first > at && piece[first - 1] === backslash) first--
      const isOdd = (end - first) % 2 === 1
      if (found < 0) {
        isEscaped = isOdd
        return end
      }
      at = end + 1
      if (isOdd) continue
      inString = false
      return at
    }
  }

  return (piece) => {
    for (let at = 0; at < piece.length;) {
      if (inString) {
        at = skipString(piece, at)
        continue
      }
      if (isOther) return -1
      const byte = piece[at++]!
      if (byte === quote) inString = true
      else if (opens(byte)) depth++
      else if (closes(byte) && --depth === 0) return at
      if (depth === 0 && !opens(byte) && !isBefore(byte)) isOther = true
    }
    return -1
  }
}
