/**
 * A resident process inside the test's own, on a memory that goes with its scope, and requests to it.
 */
import * as http from "node:http"
import * as net from "node:net"
import * as path from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import * as Daemon from "../../src/daemon/Daemon.ts"
import type * as HookDeadlines from "../../src/hooks/HookDeadlines.ts"
import { freePort } from "./freePort.ts"
import * as TempFolder from "./TempFolder.ts"

export interface Request {
  readonly method?: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
  /** Over the socket and not over loopback. */
  readonly socket?: boolean
  readonly agent?: http.Agent
}

export interface Response {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly body: string
}

const patient: HookDeadlines.HookDeadlines = {
  SessionStart: "10 seconds",
  Prompt: "10 seconds",
  ToolUse: "10 seconds",
  Answer: "10 seconds",
  Compaction: "10 seconds",
  Interruption: "10 seconds",
  SessionEnd: "10 seconds"
}

export const token = "test-token"

export const send = (
  { port, socket }: { readonly port: number; readonly socket: string },
  request: Request
): Effect.Effect<Response, Error> =>
  Effect.callback((resume) => {
    const sent = http.request(
      {
        ...(request.socket === true ? { socketPath: socket } : { host: "127.0.0.1", port }),
        ...(request.agent === undefined ? {} : { agent: request.agent }),
        method: request.method ?? (request.body === undefined ? "GET" : "POST"),
        path: request.path,
        headers: { authorization: `Bearer ${token}`, ...request.headers }
      },
      (answer) => {
        let body = ""
        answer.setEncoding("utf8").on("data", (text: string) => (body += text))
        answer.on("end", () =>
          resume(Effect.succeed({ status: answer.statusCode ?? 0, headers: answer.headers, body }))
        )
      }
    )
    sent.on("error", (error) => resume(Effect.fail(error)))
    sent.end(request.body)
    return Effect.sync(() => sent.destroy())
  })

const isUp = (socket: string): Effect.Effect<void, Error> =>
  Effect.callback((resume) => {
    const connection = net.connect(socket)
    connection.on("connect", () => {
      connection.destroy()
      resume(Effect.void)
    })
    connection.on("error", (error) => resume(Effect.fail(error)))
  })

const eventually = Effect.retry({
  schedule: Schedule.spaced("10 millis").pipe(Schedule.upTo({ duration: "20 seconds" }))
})

const placeOf = Effect.fnUntraced(function* (options: Partial<Daemon.DaemonOptions>) {
  const home = options.identity?.home ?? (yield* TempFolder.make)
  const port = options.port ?? (yield* Effect.promise(freePort))
  return { home, port, socket: options.socket ?? path.join(home, "socket") }
})

const runAt = (
  { home, port, socket }: Effect.Success<ReturnType<typeof placeOf>>,
  options: Partial<Daemon.DaemonOptions>
) =>
  Daemon.run({
    identity: { version: "1.2.3", instance: "i-1", pid: process.pid, startedAt: "2026-01-01T00:00:00.000Z", home },
    token: Redacted.make(token),
    port,
    socket,
    settings: { _tag: "Embedded", home },
    database: "db-1",
    // How long things take on a machine that does others as well is no part of what is tested here.
    hooks: { deadlines: patient },
    retention: { maxAge: Duration.infinity, maxBytes: Number.POSITIVE_INFINITY },
    ...options
  }).pipe(Effect.provide(NodeServices.layer), Effect.provideService(References.MinimumLogLevel, "None"))

/** Runs one to its end. */
export const run = (options: Partial<Daemon.DaemonOptions> = {}) =>
  Effect.flatMap(placeOf(options), (place) => runAt(place, options))

/** Starts one and waits until it listens on its socket. */
export const start = Effect.fnUntraced(function* (options: Partial<Daemon.DaemonOptions> = {}) {
  const place = yield* placeOf(options)
  const fiber = yield* Effect.forkScoped(runAt(place, options))
  yield* eventually(isUp(place.socket))
  return {
    ...place,
    fiber,
    send: (request: Request) => send(place, request),
    tell: (body: unknown, headers: Readonly<Record<string, string>> = {}) =>
      send(place, { path: "/hooks/claude", body: JSON.stringify(body), headers }),
    stop: Effect.andThen(send(place, { method: "POST", path: "/stop", socket: true }), Fiber.join(fiber))
  }
})
