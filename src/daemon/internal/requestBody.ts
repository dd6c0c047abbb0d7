/**
 * Reads the body of a request. Its length is known in advance, so a large body is held in memory once.
 */
import type * as http from "node:http"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"

/** The request ended before its body was complete. */
export class CutShort extends Data.TaggedError("CutShort")<{}> {}

const decoder = new TextDecoder()

/** From this size a body is assembled as it arrives; a smaller one has one or two parts. */
const large = 64 * 1024

const small = () => {
  const parts: Array<Buffer> = []
  return {
    add: (part: Buffer): void => void parts.push(part),
    text: (): string => decoder.decode(parts.length === 1 ? parts[0] : Buffer.concat(parts))
  }
}

const whole = (length: number) => {
  const all = Buffer.allocUnsafeSlow(length)
  let at = 0
  return {
    add: (part: Buffer): void => {
      at += part.copy(all, at)
    },
    text: (): string => {
      const text = decoder.decode(all.subarray(0, at))
      // Frees the memory now instead of at the next garbage collection.
      all.buffer.transfer(0)
      return text
    }
  }
}

const cutShort = Effect.suspend(() => Effect.fail(new CutShort()))

/** Reads a body of a known length as text. The server enforces the length. */
export const read = (request: http.IncomingMessage, length: number): Effect.Effect<string, CutShort> =>
  Effect.callback((resume) => {
    const body = length < large ? small() : whole(length)
    request.on("data", body.add)
    request.on("end", () => resume(Effect.sync(body.text)))
    // An aborted request emits `error` and `close`, but not `end`.
    request.on("error", () => resume(cutShort))
    request.on("close", () => resume(cutShort))
  })
