/**
 * The HTTP server of the resident process: on loopback for agents that post their hooks, and on a socket for the shim and
 * the commands.
 *
 * | request | answer |
 * |---|---|
 * | `POST /hooks/:agent` | 200 with the agent's answer; 204 where there is nothing to add; 202, with or without an answer, where what was told is not safe on this host yet |
 * | `GET /health` | who the process is, `DaemonStatus.Health` |
 * | `GET /status` | what it has done, `DaemonStatus.DaemonStatus` |
 * | `GET /metrics` | all metrics, as Prometheus reads them |
 * | `POST /stop` | 202; it ends when it has done what it has |
 *
 * Whoever asks needs the token; nothing is said without it. A request with an `Origin`, which is what a page in a browser
 * sends, and one to another name than that of loopback are refused.
 *
 * @since 0.1.0
 */
import type * as http from "node:http"
import type * as net from "node:net"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpRouter from "effect/http/HttpRouter"
import { ServeError } from "effect/http/HttpServerError"
import { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type { HookAdapter } from "../hooks/HookAdapter.ts"
import * as HookAdapters from "../hooks/HookAdapters.ts"
import * as HookRunner from "../hooks/HookRunner.ts"
import { type HookResponse, HookService } from "./HookService.ts"
import * as RequestBody from "./internal/requestBody.ts"
import * as ConnectionLimits from "./internal/connectionLimits.ts"
import * as RequestAuth from "./internal/requestAuth.ts"
import * as AdmissionControl from "./internal/admissionControl.ts"
import { headers as names, protocol } from "../host/paths.ts"
import { Lifecycle } from "./internal/lifecycle.ts"
import * as SocketFile from "./internal/socketFile.ts"
import * as Ports from "./ports.ts"
import { DaemonState } from "./internal/statusReport.ts"
import * as StatusReport from "./internal/statusReport.ts"

/**
 * The socket can't be listened on.
 *
 * @category errors
 * @since 0.1.0
 */
export class SocketUnusable extends Schema.TaggedError<SocketUnusable>(
  "athena-hooks/daemon/DaemonServer/SocketUnusable"
)("SocketUnusable", {
  socket: Schema.String,
  /** What the system says, such as `EACCES`. */
  code: Schema.String
}) {
  override get message(): string {
    return `${this.socket} can't be listened on (${this.code}); look who may write in its folder, or set ATHENA_HOME to another one`
  }
}

/**
 * Options of the server.
 *
 * @category models
 * @since 0.1.0
 */
export interface DaemonServerOptions {
  /** What must be known to ask. */
  readonly token: Redacted.Redacted
  /** The port on 127.0.0.1. Where it can't be listened on, as another program has it, it is tried again four times a second. */
  readonly port: number
  /** A socket that listens on that port already, inherited from the process that started this one; none when absent. */
  readonly listenerFd?: number | undefined
  /** Path of the socket, in a folder that nobody else can read. */
  readonly socket: string
  /** Tells the database from others, see `Daemon`. */
  readonly database: string
  /** Requests a second that are taken over longer times, from 1; 1,000 when absent. At once, twice as many. */
  readonly requestsPerSecond?: number | undefined
  /** Bytes of payloads that are held, or wait for their turn, at once; from 16 MiB; 64 MiB when absent. */
  readonly payloadBytes?: number | undefined
}

/** Bytes of large payloads that are at work at once: one of the largest that Claude Code sends takes some 50 MB. */
const largeBytes = 4 * 1024 * 1024

/** How often a port is tried that can't be listened on. */
const retryInterval = "250 millis"

const empty = (status: number): HttpServerResponse.HttpServerResponse => HttpServerResponse.empty({ status })

const responseOf = (response: HookResponse): HttpServerResponse.HttpServerResponse => {
  if (response._tag === "Overloaded") return empty(503)
  const isStored = response._tag === "Stored"
  return response.body === undefined
    ? empty(isStored ? 204 : 202)
    : HttpServerResponse.text(response.body, { status: isStored ? 200 : 202, contentType: "application/json" })
}

const decoded = (folder: string | undefined): string | undefined => {
  try {
    return folder === undefined || folder === "" ? undefined : decodeURIComponent(folder)
  } catch {
    return undefined
  }
}

const deliveryId = (id: string | undefined): string | undefined =>
  id !== undefined && /^[\w-]{1,64}$/.test(id) ? id : undefined

const incoming = (request: HttpServerRequest) =>
  NodeHttpServerRequest.toIncomingMessage(request) as http.IncomingMessage

/** Who waits to be told that it may send its body is told so by `text` alone. */
const textOf = (request: HttpServerRequest, length: number): Effect.Effect<string, RequestBody.CutShort> =>
  request.headers["expect"] === undefined
    ? RequestBody.read(incoming(request), length)
    : request.text.pipe(
        Effect.mapError(() => new RequestBody.CutShort()),
        Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(HookRunner.maxPayloadBytes))
      )

const respond = (adapter: HookAdapter, length: number) =>
  Effect.gen(function* () {
    const request = yield* HttpServerRequest
    const service = yield* HookService
    yield* (yield* Lifecycle).touch
    return yield* textOf(request, length).pipe(
      Effect.flatMap((body) =>
        service.respond({
          adapter,
          body,
          projectFolder: decoded(request.headers[names.project]),
          deliveryId: deliveryId(request.headers[names.delivery])
        })
      ),
      Effect.map(responseOf),
      // The agent has gone away, or has sent less than it said.
      Effect.orElseSucceed(() => empty(400))
    )
  })

/** How many bytes a request says that it brings. */
const lengthOf = (length: string | undefined): number | undefined =>
  length !== undefined && /^\d{1,15}$/.test(length) ? Number(length) : undefined

const hookRoutes = (admission: AdmissionControl.AdmissionControl) =>
  HttpRouter.add(
    "POST",
    "/hooks/:agent",
    Effect.gen(function* () {
      const { agent = "" } = yield* HttpRouter.params
      const { headers } = yield* HttpServerRequest
      const adapter = HookAdapters.find(agent)
      if (adapter === undefined) return empty(404)
      const length = lengthOf(headers["content-length"])
      if (length === undefined) return empty(411)
      if (length > HookRunner.maxPayloadBytes) return empty(413)
      if (!(yield* admission.admit)) return empty(429)
      return yield* admission.withBytes(length, respond(adapter, length), Effect.succeed(empty(503)))
    })
  )

const statusRoutes = Layer.unwrap(
  Effect.map(StatusReport.make, (status) =>
    HttpRouter.addAll([
      HttpRouter.route("GET", "/health", Effect.map(StatusReport.health, HttpServerResponse.jsonUnsafe)),
      HttpRouter.route("GET", "/status", Effect.map(status, HttpServerResponse.jsonUnsafe)),
      HttpRouter.route(
        "GET",
        "/metrics",
        Effect.map(PrometheusMetrics.format(), (text) =>
          HttpServerResponse.text(text, { contentType: "text/plain; version=0.0.4; charset=utf-8" })
        )
      ),
      HttpRouter.route(
        "POST",
        "/stop",
        Effect.flatMap(Lifecycle, ({ stop }) => Effect.as(stop, empty(202)))
      )
    ])
  )
)

const codeOf = (error: unknown): string => {
  if (typeof error !== "object" || error === null) return "unknown"
  if ("code" in error && typeof error.code === "string") return error.code
  return "cause" in error ? codeOf(error.cause) : "unknown"
}

const isHook = ({ method, url }: HttpServerRequest): boolean => method === "POST" && url.startsWith("/hooks/")

/** Whether a server listens on a port of 127.0.0.1. */
const listensAt = (server: net.Server, port: number): boolean => {
  const address = server.address()
  return typeof address === "object" && address?.address === "127.0.0.1" && address.port === port
}

/** Where Node.js listens on a socket that is open already, which its types leave out. */
const atFd = (fd: number): NodeHttpServer.Options & { readonly fd: number } => ({ fd })

const otherAddress = Effect.fail(new ServeError({ cause: { code: "EADDRNOTAVAIL" } }))

/** What an attempt has opened is closed at once where it fails, and with the scope where it does not. */
const ownScope = <A, E, R>(attempt: Effect.Effect<A, E, R | Scope.Scope>) =>
  Effect.gen(function* () {
    const scope = yield* Scope.fork(yield* Effect.scope)
    return yield* attempt.pipe(
      Scope.provide(scope),
      Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
    )
  })

/**
 * Provides the server: it listens on the socket when the Layer is built, and on the port as soon as that is free. When the
 * scope closes it takes no more requests, and those that are being answered are, within 2 seconds.
 *
 * Fails with `SocketUnusable` where the socket can't be listened on.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: DaemonServerOptions) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const state = yield* DaemonState
      const perSecond = Math.max(1, options.requestsPerSecond ?? 1_000)
      const admission = AdmissionControl.make({
        perSecond,
        burst: 2 * perSecond,
        bytes: Math.max(HookRunner.maxPayloadBytes, options.payloadBytes ?? 64 * 1024 * 1024),
        largeBytes
      })
      const routes = yield* HttpRouter.toHttpEffect(Layer.merge(hookRoutes(admission), statusRoutes))
      const auth = RequestAuth.make(Redacted.value(options.token), options.database)
      const identifying = { [names.protocol]: protocol, [names.version]: state.identity.version }

      // A connection that is kept would be served for as long as the shutdown lasts, and left without an answer then.
      let isEnding = false
      const { isEnding: isLifecycleEnding } = yield* Lifecycle
      const isStopping = () => isEnding || isLifecycleEnding()
      const headers = () => (isStopping() ? { ...identifying, ...ConnectionLimits.closeHeader } : identifying)

      const app = (listener: RequestAuth.Listener, authenticate: (socket: net.Socket) => void) =>
        Effect.flatMap(HttpServerRequest, (request) => {
          const refused = RequestAuth.refuse(auth, listener, request.headers)
          // Whoever runs a command can do without, or starts the next process; whoever posts can do neither.
          if (refused === undefined && listener._tag === "Socket" && isHook(request) && isStopping()) {
            return Effect.succeed(HttpServerResponse.empty({ status: 503, headers: headers() }))
          }
          if (refused === undefined) {
            authenticate(incoming(request).socket)
            return Effect.map(routes, (response) => HttpServerResponse.setHeaders(response, headers()))
          }
          // On loopback anybody may call, and whoever has no token learns nothing, not even who refuses.
          return Effect.succeed(
            HttpServerResponse.empty({
              status: refused,
              headers: listener._tag === "Socket" ? identifying : ConnectionLimits.closeHeader
            })
          )
        })

      const listen = Effect.fnUntraced(function* (listener: RequestAuth.Listener, at: NodeHttpServer.Options) {
        const server = ConnectionLimits.createServer()
        const flushBuffered = ConnectionLimits.bufferRequests(server)
        const { authenticate } = yield* ConnectionLimits.limitUnauthenticated(server)
        const { serve } = yield* NodeHttpServer.make(() => server, { ...at, gracefulShutdownTimeout: "2 seconds" })
        // What was inherited may be anything.
        if (listener._tag === "Loopback" && !listensAt(server, listener.port)) return yield* otherAddress
        yield* serve(app(listener, authenticate))
        flushBuffered()
        ConnectionLimits.ignoreUpgrades(server)
      })

      const { listenerFd, port, socket } = options
      const loopback = (at: NodeHttpServer.Options) => ownScope(listen({ _tag: "Loopback", port }, at))
      const onLoopback = loopback({ host: "127.0.0.1", port }).pipe(
        Effect.tapError(({ cause }) =>
          Effect.sync(() => {
            state.problem = Ports.problemOf(port, cause)
          })
        )
      )
      const inherited =
        listenerFd === undefined ? onLoopback : Effect.catch(loopback(atFd(listenerFd)), () => onLoopback)
      const listening = Effect.sync(() => {
        state.port = port
        state.problem = null
      })

      yield* Effect.catch(Effect.andThen(inherited, listening), (error) =>
        Effect.logError(state.problem ?? error.message).pipe(
          Effect.andThen(
            Effect.andThen(Effect.retry(Effect.delay(onLoopback, retryInterval), Schedule.forever), listening).pipe(
              Effect.forkScoped
            )
          )
        )
      )
      // Whoever holds the lock owns the socket; what is there was left by a process that was killed. It comes last: who
      // reaches it finds everything there.
      yield* Effect.mapError(
        SocketFile.listen(socket, (path) => listen({ _tag: "Socket" }, { path })),
        (error) => new SocketUnusable({ socket, code: codeOf(error) })
      )
      // The last to be added is the first to run.
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          isEnding = true
        })
      )
    })
  )
