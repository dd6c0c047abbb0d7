/**
 * What a hook reads and writes, without the streams of Node.js, which would cost it time to load.
 */
import { fs } from "../internal/nodeBuiltin.ts"
import * as JsonEnd from "./jsonEnd.ts"

/** The longest that a hook process lives, whatever holds it up: input that never ends, a socket that never closes. */
export const lifetimeMs = 6_000

/** How much of the life of this process is left, in milliseconds. */
export const lifeLeftMs = (): number => Math.max(100, lifetimeMs - performance.now())

/** Whether a read of standard input is under way. */
let reading = false

/** The bytes as UTF-8 without a byte order mark: a shell may write one, and Windows writes UTF-16. */
const plain = (bytes: Buffer): Buffer => {
  const isLittle = bytes[0] === 0xff && bytes[1] === 0xfe
  if (isLittle) return Buffer.from(bytes.toString("utf16le", 2))
  const hasMark = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
  return hasMark ? bytes.subarray(3) : bytes
}

/**
 * Reads an event from standard input: to the end of its JSON, or to the end of the stream. What is over the limit is read
 * too, so that the sender can finish, and dropped.
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
        // A pipe that has nothing yet.
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

/** Standard output may be a pipe that is full for a moment; after a second it is given up. */
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
 * Ends the process. While a read of standard input waits in a thread, an ordinary end would wait for it as well; becoming
 * another program that ends at once does not; where that is not there, Node.js would end with an error.
 */
export const leave = (): never => {
  const shell = "/bin/sh"
  if (reading && process.execve !== undefined && fs.existsSync(shell)) process.execve(shell, ["sh", "-c", "exit 0"], {})
  process.exit(0)
}

/** Answers the agent, tells a person what is wrong in one line, and ends the process. */
export const finish = (answer: string, notices: ReadonlyArray<string>): never => {
  for (const notice of notices) write(2, `athena hook: ${notice}\n`)
  write(1, `${answer}\n`)
  return leave()
}
