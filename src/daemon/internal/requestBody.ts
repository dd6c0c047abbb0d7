/**
 * Reads what a request brings. Its length is known before, so that the bytes of a large body are held once.
 */
import type * as http from "node:http"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"

/** The request ended before its body did. */
export class CutShort extends Data.TaggedError("CutShort")<{}> {}

const decoder = new TextDecoder()

/** Bytes from which a body is put together as it comes: of a smaller one there are one or two parts. */
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
      // Frees the bytes now: the garbage collector takes its time.
      all.buffer.transfer(0)
      return text
    }
  }
}

const cutShort = Effect.suspend(() => Effect.fail(new CutShort()))

/** Reads a body of so many bytes, as text. The server sees to it that there are no more. */
export const read = (request: http.IncomingMessage, length: number): Effect.Effect<string, CutShort> =>
  Effect.callback((resume) => {
    const body = length < large ? small() : whole(length)
    request.on("data", body.add)
    request.on("end", () => resume(Effect.sync(body.text)))
    // A request that is cut short has an error, closes, and does not end.
    request.on("error", () => resume(cutShort))
    request.on("close", () => resume(cutShort))
  })
