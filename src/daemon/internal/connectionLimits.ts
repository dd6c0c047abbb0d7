/**
 * Limits the connections to a listener. Any local program can connect to loopback, so a connection is unauthenticated
 * until a request on it carries the token. Unauthenticated connections have little time and a small share of the limit;
 * the rest is for agents.
 */
import * as http from "node:http"
import type * as net from "node:net"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"

/** Connections per listener: an agent has one per session, and one per concurrent tool. */
const maxConnections = 512

/** Unauthenticated connections. A further one replaces the oldest. */
export const maxUnauthenticated = 64

/** How long a connection may be unauthenticated. */
const authTimeout = "10 seconds"

/** Milliseconds. */
const requestTimeout = 30_000
const headersTimeout = 10_000

/** How long an idle connection of an agent remains open, in milliseconds. */
const keepAliveTimeout = 10 * 60_000

/** Closes the connection of a rejected request instead of reading its body. */
export const closeHeader = { connection: "close" }

export const createServer = (): http.Server => {
  const server = http.createServer({
    requestTimeout,
    headersTimeout,
    keepAliveTimeout,
    connectionsCheckingInterval: 5_000,
    noDelay: true
  })
  server.maxConnections = maxConnections
  return server
}

/**
 * Buffers requests that arrive before there is a handler, as on an inherited listener. The result passes them to the
 * handler.
 */
export const bufferRequests = (server: http.Server): (() => void) => {
  const buffered: Array<readonly [http.IncomingMessage, http.ServerResponse]> = []
  const buffer = (request: http.IncomingMessage, response: http.ServerResponse): void => {
    buffered.push([request, response])
  }
  server.on("request", buffer)
  return () => {
    server.off("request", buffer)
    for (const [request, response] of buffered) server.emit("request", request, response)
  }
}

/** Without an upgrade listener Node.js treats the request as any other; with one, no limit applies to its socket. */
export const ignoreUpgrades = (server: http.Server): void => {
  server.removeAllListeners("upgrade")
}

/** Closes connections that remain unauthenticated. */
export const limitUnauthenticated = Effect.fnUntraced(function* (server: net.Server) {
  const run = yield* FiberSet.makeRuntime()
  const unauthenticated = new Map<net.Socket, Fiber.Fiber<unknown, unknown>>()

  const forget = (socket: net.Socket): void => {
    unauthenticated.get(socket)?.interruptUnsafe()
    unauthenticated.delete(socket)
  }

  const makeRoom = (): void => {
    const [oldest] = unauthenticated.keys()
    if (oldest === undefined || unauthenticated.size < maxUnauthenticated) return
    forget(oldest)
    oldest.destroy()
  }

  server.on("connection", (socket: net.Socket) => {
    makeRoom()
    unauthenticated.set(
      socket,
      run(
        Effect.delay(
          Effect.sync(() => socket.destroy()),
          authTimeout
        )
      )
    )
    socket.once("close", () => forget(socket))
  })
  return { authenticate: forget }
})
