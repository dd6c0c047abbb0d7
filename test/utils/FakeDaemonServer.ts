/**
 * A process that answers hooks as the resident one does, as far as others see it: on loopback and on the socket of a home.
 */
import * as fs from "node:fs"
import * as http from "node:http"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Endpoint from "../../src/daemon/Endpoint.ts"
import { hostPaths } from "../../src/host/paths.ts"
import * as Layout from "../../src/host/paths.ts"
import * as FakeDaemon from "./FakeDaemon.ts"

export interface Request {
  readonly path: string
  readonly headers: http.IncomingHttpHeaders
  readonly body: string
}

export interface Options extends Endpoint.Endpoint {
  readonly home: string
  readonly version: string
  /** What it says of itself; its own port where absent. */
  readonly health?: object
  /** Whether it listens on loopback; it does where absent. */
  readonly listens?: boolean
  /** What it answers an event with, by status and text; 204 where absent. */
  readonly answer?: (
    body: string
  ) => { readonly status: number; readonly text: string } | Promise<{ readonly status: number; readonly text: string }>
  /** Says nothing over its socket. */
  readonly silent?: boolean
}

const read = async (request: http.IncomingMessage): Promise<string> => {
  let text = ""
  for await (const chunk of request.setEncoding("utf8")) text += chunk
  return text
}

const listen = (server: http.Server, at: object) =>
  new Promise<void>((resolve, reject) => server.once("error", reject).listen(at, resolve))

/** Starts it, and gives what it was asked so far. It is gone with its scope. */
export const start = (options: Options): Effect.Effect<ReadonlyArray<Request>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const requests: Array<Request> = []
    const { socket } = hostPaths(options.home)
    const health = {
      ...FakeDaemon.healthOf(options.home, options.version),
      pid: 4321,
      port: options.port,
      ...options.health
    }
    const answer = async (request: http.IncomingMessage, response: http.ServerResponse, isSocket: boolean) => {
      const body = await read(request)
      const { headers, url = "" } = request
      requests.push({ path: url, headers, body })
      const end = (status: number, text = "") =>
        response
          .writeHead(status, { [Layout.headers.version]: options.version, [Layout.headers.protocol]: Layout.protocol })
          .end(text)
      if (isSocket && options.silent === true) return
      if (headers.authorization !== `Bearer ${Redacted.value(options.token)}`) return end(401)
      if (isSocket && headers[Layout.headers.protocol] !== Layout.protocol) return end(409)
      if (url === "/health") return end(200, JSON.stringify(health))
      if (url === "/status") return end(200, JSON.stringify({ ...FakeDaemon.statusOf(options.home), health }))
      if (url === "/stop") return end(202)
      if (!url.startsWith("/hooks/")) return end(404)
      const { status, text } = (await options.answer?.(body)) ?? { status: 204, text: "" }
      return end(status, text)
    }
    const server = (isSocket: boolean) =>
      Effect.acquireRelease(
        Effect.promise(async () => {
          const server = http.createServer((request, response) => void answer(request, response, isSocket))
          fs.mkdirSync(path.dirname(socket), { recursive: true, mode: 0o700 })
          await listen(server, isSocket ? { path: socket } : { host: "127.0.0.1", port: options.port })
          return server
        }),
        (server) =>
          Effect.promise(
            () =>
              new Promise((resolve) => {
                server.close(resolve)
                server.closeAllConnections()
              })
          )
      )
    yield* server(true)
    if (options.listens !== false) yield* server(false)
    return requests
  })

/** The endpoint that was made for the home of a user. */
export const endpointOf = (folder: string): Endpoint.Endpoint => {
  const read = (name: string) => fs.readFileSync(path.join(folder, ".athena", "daemon", name), "utf8")
  return { port: Number(read("port")), token: Redacted.make(read("token")) }
}
