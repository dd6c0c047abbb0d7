/**
 * Finds the end of a JSON value in bytes that come piece by piece, so that a sender who leaves the stream open is not
 * waited for. Each byte is looked at once.
 */

const quote = 0x22
const backslash = 0x5c

/** A space, a tab, a line feed, a carriage return, or a part of a byte order mark. */
const isBefore = (byte: number): boolean =>
  byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09 || byte === 0xef || byte === 0xbb || byte === 0xbf

const opens = (byte: number): boolean => byte === 0x7b || byte === 0x5b
const closes = (byte: number): boolean => byte === 0x7d || byte === 0x5d

/**
 * Makes a function that is given piece after piece, and gives the place in a piece at which the object or the array has
 * ended, or -1. In what begins with anything else it finds no end.
 */
export const make = (): ((piece: Uint8Array) => number) => {
  let depth = 0
  let isOther = false
  let inString = false
  /** Whether the last byte of the last piece takes the meaning of the next one. */
  let isEscaped = false

  /** The place behind the quote that ends the string, or the end of the piece. */
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
