/**
 * One request to a process of this host, by a socket or on loopback. No proxy is asked, whatever the environment says.
 */
import * as http from "node:http"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"

export interface LocalRequest {
  readonly method: "GET" | "POST"
  /** With `socket`, only its path counts. */
  readonly url: string
  readonly socket?: string | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | undefined
  readonly timeoutMs: number
}

export interface LocalResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
  readonly body: string
}

/** No answer came. `code` is that of Node.js, such as `ECONNREFUSED`; `TIMEOUT` where the time is over. */
export class NoAnswer extends Data.TaggedError("NoAnswer")<{ readonly code: string }> {}

/** More of an answer is not read, in bytes. */
const maxBytes = 1024 * 1024

const codeOf = (error: Error): string => ("code" in error ? String(error.code) : error.name)

/** Sends a request and reads the answer. It may fail with `NoAnswer`, which says nothing of what was sent. */
export const send = ({
  body,
  headers,
  method,
  socket,
  timeoutMs,
  url
}: LocalRequest): Effect.Effect<LocalResponse, NoAnswer> =>
  Effect.callback<LocalResponse, NoAnswer>((resume) => {
    const fail = (code: string) => resume(Effect.fail(new NoAnswer({ code })))
    const request = http.request(
      url,
      { method, headers, agent: false, ...(socket === undefined ? {} : { socketPath: socket }) },
      (response) => {
        const chunks: Array<Buffer> = []
        let size = 0
        response.on("data", (chunk: Buffer) => {
          size += chunk.length
          if (size > maxBytes) return request.destroy()
          chunks.push(chunk)
        })
        response.once("error", (error) => fail(codeOf(error)))
        response.once("close", () => fail("ECONNRESET"))
        response.once("end", () =>
          resume(
            Effect.succeed({
              status: response.statusCode ?? 0,
              headers: response.headers,
              body: Buffer.concat(chunks).toString("utf8")
            })
          )
        )
      }
    )
    request.once("error", (error) => fail(codeOf(error)))
    request.end(body)
    return Effect.sync(() => void request.destroy())
  }).pipe(Effect.timeoutOrElse({ duration: timeoutMs, orElse: () => Effect.fail(new NoAnswer({ code: "TIMEOUT" })) }))
