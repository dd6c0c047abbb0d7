/**
 * A file that is read piece by piece, because Node.js reads none of more than 2 GiB at once.
 */
import * as fs from "node:fs"
import type { Bytes } from "./carve.ts"

const blockBytes = 1_048_576

/** What is read next mostly follows what was read last, so a block is kept. */
const bytesOf = (file: number, length: number): Bytes => {
  let block = Buffer.alloc(0)
  let from = 0
  return {
    length,
    subarray: (start, end) => {
      if (start < from || end > from + block.length) {
        const next = Buffer.alloc(Math.min(Math.max(blockBytes, end - start), length - start))
        const got = fs.readSync(file, next, 0, next.length, start)
        if (got < end - start) throw new Error("the file got shorter")
        block = next.subarray(0, got)
        from = start
      }
      return block.subarray(start - from, end - from)
    }
  }
}

/** Looks through a file, which is empty where there is none. */
export const withBytes = <A>(filename: string, look: (bytes: Bytes) => A): A => {
  if (!fs.existsSync(filename)) return look(Buffer.alloc(0))
  const file = fs.openSync(filename, "r")
  try {
    return look(bytesOf(file, fs.fstatSync(file).size))
  } finally {
    fs.closeSync(file)
  }
}
