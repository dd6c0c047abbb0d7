/**
 * Something that listens where the resident process would, and answers as a test wants it to.
 */
import * as fs from "node:fs"
import * as http from "node:http"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { hostPaths } from "../../src/host/paths.ts"
import * as Layout from "../../src/host/paths.ts"

export const token = "0123456789abcdef-test-token"

export { hostPaths as layoutOf }

export interface Request {
  readonly method: string
  readonly url: string
  readonly headers: http.IncomingHttpHeaders
  readonly body: string
}

export type Respond = (request: Request, response: http.ServerResponse) => void

/** The headers of every answer of a resident process. */
export const headers = (version = "0.1.0"): Readonly<Record<string, string>> => ({
  [Layout.headers.protocol]: Layout.protocol,
  [Layout.headers.version]: version
})

export const healthOf = (home: string, version = "0.1.0") => ({
  name: "athena-hooks",
  protocol: Layout.protocol,
  version,
  instance: "11111111-2222-4333-8444-555555555555",
  pid: process.pid,
  startedAt: "2026-01-01T00:00:00.000Z",
  home,
  port: 21_234,
  problem: null
})

export const statusOf = (home: string) => ({
  health: healthOf(home),
  uptimeMs: 1_000,
  idleMs: 10,
  database: "embedded",
  memory: { rss: 1, heapUsed: 1 },
  responses: { stored: 1, timedOut: 0, failed: 0, invalid: 0, overloaded: 0, running: 0 },
  latencies: [],
  cache: null,
  events: null,
  pool: null
})

/** Answers with JSON, as a resident process does. */
export const answer = (response: http.ServerResponse, value: unknown, version?: string): void => {
  const text = JSON.stringify(value)
  response.writeHead(200, {
    ...headers(version),
    "content-type": "application/json",
    "content-length": Buffer.byteLength(text)
  })
  response.end(text)
}

/** The folder of the process, and its token. */
export const prepare = (home: string): Layout.Paths => {
  const places = hostPaths(home)
  for (const folder of [places.folder, path.dirname(places.socket)]) {
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 })
  }
  fs.writeFileSync(places.token, `${token}\n`, { mode: 0o600 })
  return places
}

/** Listens on the socket of a home until the scope ends; gives what it was asked, as it comes. */
export const start = (home: string, respond: Respond): Effect.Effect<ReadonlyArray<Request>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { socket } = prepare(home)
    // One that was killed leaves it behind.
    fs.rmSync(socket, { force: true })
    const requests: Array<Request> = []
    const server = http.createServer((message, response) => {
      const chunks: Array<Buffer> = []
      message.on("data", (chunk: Buffer) => chunks.push(chunk))
      message.on("end", () => {
        const { headers, method = "", url = "" } = message
        const request = { method, url, headers, body: Buffer.concat(chunks).toString("utf8") }
        requests.push(request)
        respond(request, response)
      })
    })
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => {
        server.listen(socket, () => resume(Effect.void))
      }),
      () =>
        Effect.sync(() => {
          server.close()
          server.closeAllConnections()
        })
    )
    return requests
  })
