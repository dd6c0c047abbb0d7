/**
 * The ports of loopback: which ones a home may have, and whether one is free.
 */
import * as net from "node:net"
import * as Effect from "effect/Effect"
import { defaultPort } from "./layout.ts"

const lowest = 21_000
const count = 8_000

/** How many are tried. */
const maxCandidates = 100

/** The ports that a home may have, the one it would rather have first. */
export const candidates = (home: string): ReadonlyArray<number> =>
  Array.from({ length: maxCandidates }, (_, index) => lowest + ((defaultPort(home) - lowest + index) % count))

/** Whether nothing listens on a port of 127.0.0.1. It is held for that moment. */
export const isFree = (port: number): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const server = net.createServer()
    server.once("error", () => resume(Effect.succeed(false)))
    server.listen({ host: "127.0.0.1", port, exclusive: true }, () => {
      server.close(() => resume(Effect.succeed(true)))
    })
    return Effect.sync(() => server.close())
  })
