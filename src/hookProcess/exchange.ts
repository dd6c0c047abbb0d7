/**
 * One question over the socket, and its answer. On `node:net`: what `node:http` has more of costs a hook time to load.
 */
import { nodeBuiltin } from "../internal/nodeBuiltin.ts"
import type { ShimRequest } from "./request.ts"
import * as Reply from "./response.ts"

/** Asks, and gives the answer or why there is none, once. */
export const exchange = (
  socket: string,
  question: ShimRequest,
  done: (reply: Reply.ShimResponse | string) => void
): void => {
  const connection = nodeBuiltin("node:net").connect(socket)
  const chunks: Array<Buffer> = []
  let size = 0
  let isDone = false
  const end = (reply: Reply.ShimResponse | string): void => {
    if (isDone) return
    isDone = true
    clearTimeout(timer)
    // After an answer this process ends at once, and its connection with it.
    if (typeof reply === "string") connection.destroy()
    done(reply)
  }
  const timer = setTimeout(() => end(`nothing within ${question.waitMs} ms`), question.waitMs)
  connection.on("error", (error: NodeJS.ErrnoException) => end(String(error.code)))
  connection.on("close", () => end("cut"))
  connection.on("data", (chunk: Buffer) => {
    chunks.push(chunk)
    size += chunk.length
    if (size > Reply.maxBytes + 16_384) return end("too much")
    const reply = Reply.parse(Buffer.concat(chunks))
    if (reply !== undefined) end(reply)
  })
  // Sent at once, not the one after the other has gone.
  connection.cork()
  connection.write(question.head)
  if (question.body.length > 0) connection.write(question.body)
  connection.uncork()
}
