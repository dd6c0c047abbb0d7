/**
 * Who may stay connected to a listener. Anybody on this machine can connect to loopback, so a connection is a stranger's
 * until a request on it has shown the token. Strangers have little time and few places; the other places are for agents.
 */
import * as http from "node:http"
import type * as net from "node:net"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"

/** Connections to one listener: an agent has one a session, and one more for each tool that runs beside others. */
const maxConnections = 512

/** Those of them that are unauthenticated'. One that is asked for beyond them takes the place of the oldest. */
export const maxUnauthenticated = 64

/** How long a stranger has to show the token. */
const authTimeout = "10 seconds"

/** Nobody takes longer to send a request, in milliseconds. */
const requestTimeout = 30_000
const headersTimeout = 10_000

/** For how long a connection is kept that says nothing, in milliseconds: an agent's, while a person thinks. */
const keepAliveTimeout = 10 * 60_000

/** What closes the connection of a request that is refused: no stranger's body is waited for. */
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
 * Holds the requests that come before there is a handler, as they do on a port that was listened on before this process
 * was there. The handler gets them by what this gives.
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

/** Nobody upgrades: without a listener, Node hands such a request on as any other. Otherwise nothing bounds its socket. */
export const ignoreUpgrades = (server: http.Server): void => {
  server.removeAllListeners("upgrade")
}

/** Closes unauthenticated' connections from now on. Whoever has shown the token is to be trusted. */
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
