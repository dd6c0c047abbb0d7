/**
 * Ports of loopback: the candidates of a home, and whether a port is free.
 */
import * as net from "node:net"
import * as Effect from "effect/Effect"
import { defaultPort } from "../host/paths.ts"

const lowest = 21_000
const count = 8_000

const maxCandidates = 100

/** Candidate ports of a home, the preferred one first. */
export const candidates = (home: string): ReadonlyArray<number> =>
  Array.from({ length: maxCandidates }, (_, index) => lowest + ((defaultPort(home) - lowest + index) % count))

/**
 * Whether a port of 127.0.0.1 is free, checked by listening on it. Without the address 127.0.0.1 every port counts as
 * free: the daemon uses its socket alone.
 */
export const isFree = (port: number): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const server = net.createServer()
    server.once("error", (error: NodeJS.ErrnoException) => resume(Effect.succeed(error.code === "EADDRNOTAVAIL")))
    server.listen({ host: "127.0.0.1", port, exclusive: true }, () => {
      server.close(() => resume(Effect.succeed(true)))
    })
    return Effect.sync(() => server.close())
  })

/** Timeout of the connection, in milliseconds. */
const timeoutMs = 1_000

/** Whether a program listens on a port of 127.0.0.1. It does not interfere with concurrent checks. */
export const isHeld = (port: number): Effect.Effect<boolean> =>
  Effect.callback<boolean>((resume) => {
    const socket = net.connect({ host: "127.0.0.1", port })
    socket.once("error", () => resume(Effect.succeed(false)))
    socket.once("connect", () => {
      socket.destroy()
      resume(Effect.succeed(true))
    })
    return Effect.sync(() => socket.destroy())
  }).pipe(Effect.timeoutOrElse({ duration: timeoutMs, orElse: () => Effect.succeed(false) }))

const nextStep = 'run "athena install" for another one'

/** Why the daemon can't listen on a port, and the next step. */
export const problemOf = (port: number, cause: unknown): string => {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code
  switch (code) {
    case "EADDRINUSE":
      return `port ${port} is held by another program: ${nextStep}`
    case "EACCES":
    case "EPERM":
      return `port ${port} may not be listened on by this user (${code}): ${nextStep}`
    case "EADDRNOTAVAIL":
      return `port ${port} can't be listened on, for this machine has no address 127.0.0.1 (${code}): bring its loopback interface up`
    default:
      return `port ${port} can't be listened on (${code ?? "no reason was given"})`
  }
}
