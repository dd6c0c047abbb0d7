/**
 * Standard streams of a hook. Loading the streams of Node.js would cost every hook time.
 */
import { fs } from "../internal/nodeBuiltin.ts"
import * as JsonEnd from "./jsonEnd.ts"

/** The maximum lifetime of a hook process, even if its input never ends or a socket never closes. */
export const lifetimeMs = 6_000

/** The remaining lifetime in milliseconds. */
export const lifeLeftMs = (): number => Math.max(100, lifetimeMs - performance.now())

/** Whether a read of standard input is pending. */
let reading = false

/** Converts the bytes to UTF-8 without a byte order mark: Windows writes UTF-16, and shells may add a mark. */
const plain = (bytes: Buffer): Buffer => {
  const isLittle = bytes[0] === 0xff && bytes[1] === 0xfe
  if (isLittle) return Buffer.from(bytes.toString("utf16le", 2))
  const hasMark = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
  return hasMark ? bytes.subarray(3) : bytes
}

/**
 * Reads an event from standard input, to the end of its JSON value or of the stream. Input above the limit is read and
 * discarded, so that the sender can finish.
 */
export const readInput = (maxBytes: number, done: (input: Buffer | Error) => void): void => {
  const chunks: Array<Buffer> = []
  let size = 0
  const endIn = JsonEnd.make()
  const end = (): void =>
    done(size > maxBytes ? new Error(`the event is larger than ${maxBytes} bytes`) : plain(Buffer.concat(chunks)))
  const take = (chunk: Buffer): void => {
    const at = endIn(chunk)
    const used = at < 0 ? chunk : chunk.subarray(0, at)
    size += used.length
    if (size <= maxBytes) chunks.push(used)
    if (at < 0) next()
    else end()
  }
  const next = (): void => {
    const buffer = Buffer.allocUnsafe(64 * 1024)
    reading = true
    fs.read(0, buffer, 0, buffer.length, null, (error, count) => {
      reading = false
      if (error !== null && error.code === "EAGAIN") {
        // A non-blocking pipe is empty.
        setTimeout(next, 5)
      } else if (error !== null && error.code !== "EOF") {
        done(new Error(`the event could not be read: ${error.message}`))
      } else if (error !== null || count === 0) {
        end()
      } else {
        take(buffer.subarray(0, count))
      }
    })
  }
  next()
}

/** Writes synchronously. If a pipe stays full for a second, the rest is discarded. */
export const write = (fd: number, text: string): void => {
  const bytes = Buffer.from(text)
  for (let at = 0, pauses = 0; at < bytes.length && pauses < 1_000;) {
    try {
      at += fs.writeSync(fd, bytes, at)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") return
      pauses += 1
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
    }
  }
}

/**
 * Ends the process. `process.exit` waits for a pending read of standard input; `execve` does not. Without a shell to
 * execute, `execve` would end with an error.
 */
export const leave = (): never => {
  const shell = "/bin/sh"
  if (reading && process.execve !== undefined && fs.existsSync(shell)) process.execve(shell, ["sh", "-c", "exit 0"], {})
  process.exit(0)
}

/** Writes the response and the notices, one line each, and ends the process. */
export const finish = (answer: string, notices: ReadonlyArray<string>): never => {
  for (const notice of notices) write(2, `athena hook: ${notice}\n`)
  write(1, `${answer}\n`)
  return leave()
}
