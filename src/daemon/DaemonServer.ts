/**
 * The HTTP server of the daemon: on loopback for agents that post their hooks, and on a unix socket for the shim and
 * the commands.
 *
 * | request | response |
 * |---|---|
 * | `POST /hooks/:agent` | 200 with the response for the agent; 204 without one; 202, with or without one, if the event is not safe on this host yet |
 * | `GET /health` | `DaemonStatus.Health` |
 * | `GET /status` | `DaemonStatus.DaemonStatus` |
 * | `GET /metrics` | all metrics in Prometheus format |
 * | `POST /stop` | 202; the daemon ends after its pending work |
 *
 * Every request needs the token; a response without it contains no information. Requests with an `Origin`, as pages in
 * a browser send, and requests to another host name than loopback's are rejected.
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
import * as Options from "../internal/options.ts"
import { type HookResponse, HookService } from "./HookService.ts"
import * as RequestBody from "./internal/requestBody.ts"
import * as ConnectionLimits from "./internal/connectionLimits.ts"
import * as RequestAuth from "./internal/requestAuth.ts"
import * as AdmissionControl from "./internal/admissionControl.ts"
import { headers as names, protocol } from "../host/paths.ts"
import { Lifecycle } from "./internal/lifecycle.ts"
import * as SocketFile from "./internal/socketFile.ts"
import * as Ports from "./ports.ts"
import { DaemonState, type State } from "./internal/statusReport.ts"
import * as StatusReport from "./internal/statusReport.ts"

/**
 * The daemon can't listen on its socket.
 *
 * @category errors
 * @since 0.1.0
 */
export class SocketUnusable extends Schema.TaggedError<SocketUnusable>(
  "athena-hooks/daemon/DaemonServer/SocketUnusable"
)("SocketUnusable", {
  socket: Schema.String,
  /** The error code of the system, such as `EACCES`. */
  code: Schema.String
}) {
  override get message(): string {
    return `${this.socket} can't be listened on (${this.code}); look who may write in its folder, or set ATHENA_HOME to another one`
  }
}

/**
 * Options of the server. A number out of its bounds is a defect of the Layer, a `RangeError` that names it.
 *
 * @category models
 * @since 0.1.0
 */
export interface DaemonServerOptions {
  /** The token that every request must carry. */
  readonly token: Redacted.Redacted
  /** The port on 127.0.0.1. While another program holds it, the server retries four times per second. */
  readonly port: number
  /** An inherited socket that already listens on `port`. None when absent. */
  readonly listenerFd?: number | undefined
  /** Path of the unix socket, in a folder that only this user can read. */
  readonly socket: string
  /** Hash that identifies the database, see `Daemon`. */
  readonly database: string
  /** Sustained requests per second, from 1. 1,000 when absent. The burst is twice as large. */
  readonly requestsPerSecond?: number | undefined
  /** Bytes of payloads in flight, from 16 MiB. 64 MiB when absent. */
  readonly payloadBytes?: number | undefined
}

/**
 * Bytes of large payloads processed concurrently: one of the largest that Claude Code sends uses about 50 MB of memory.
 */
const largeBytes = 4 * 1024 * 1024

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

/** Only `text` sends the `100 Continue` that a client with `Expect` waits for. */
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
      // The agent disconnected, or sent fewer bytes than announced.
      Effect.orElseSucceed(() => empty(400))
    )
  })

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

const makeRoutes = (options: DaemonServerOptions) =>
  Effect.suspend(() =>
    HttpRouter.toHttpEffect(Layer.merge(hookRoutes(AdmissionControl.make(limitsOf(options))), statusRoutes))
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

const read = Options.reader("DaemonServer")

const limitsOf = ({ payloadBytes, requestsPerSecond }: DaemonServerOptions): AdmissionControl.Limits => {
  const perSecond = read.number("requestsPerSecond", requestsPerSecond ?? 1_000, 1, Infinity)
  return {
    perSecond,
    burst: 2 * perSecond,
    bytes: read.number("payloadBytes", payloadBytes ?? 64 * 1024 * 1024, HookRunner.maxPayloadBytes, Infinity),
    largeBytes
  }
}

/** The types of Node.js lack the option to listen on an inherited descriptor. */
const atFd = (fd: number): NodeHttpServer.Options & { readonly fd: number } => ({ fd })

const otherAddress = Effect.fail(new ServeError({ cause: { code: "EADDRNOTAVAIL" } }))

/** Closes the resources of a failed attempt immediately, and those of a successful one with the scope. */
const ownScope = <A, E, R>(attempt: Effect.Effect<A, E, R | Scope.Scope>) =>
  Effect.gen(function* () {
    const scope = yield* Scope.fork(yield* Effect.scope)
    return yield* attempt.pipe(
      Scope.provide(scope),
      Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
    )
  })

type App = ReturnType<typeof makeApp>

/** Responds to requests of a listener: authentication, then the routes. */
const makeApp = (
  options: DaemonServerOptions,
  state: State,
  isEnding: () => boolean,
  routes: Effect.Success<ReturnType<typeof makeRoutes>>
) => {
  const auth = RequestAuth.make(Redacted.value(options.token), options.database)
  const identifying = { [names.protocol]: protocol, [names.version]: state.identity.version }
  // A keep-alive connection would be served until the shutdown ends, and its last request then lost.
  const headers = () => (isEnding() ? { ...identifying, ...ConnectionLimits.closeHeader } : identifying)

  return (listener: RequestAuth.Listener, authenticate: (socket: net.Socket) => void) =>
    Effect.flatMap(HttpServerRequest, (request) => {
      const refused = RequestAuth.refuse(auth, listener, request.headers)
      // Any local program may connect to loopback: without the token a response does not even identify the daemon.
      if (refused !== undefined) {
        return Effect.succeed(
          HttpServerResponse.empty({
            status: refused,
            headers: listener._tag === "Socket" ? identifying : ConnectionLimits.closeHeader
          })
        )
      }
      // A client of the socket runs the hook itself or starts the next daemon. An agent that posts can do neither.
      if (listener._tag === "Socket" && isHook(request) && isEnding()) {
        return Effect.succeed(HttpServerResponse.empty({ status: 503, headers: headers() }))
      }
      authenticate(incoming(request).socket)
      return Effect.map(routes, (response) => HttpServerResponse.setHeaders(response, headers()))
    })
}

const listen = Effect.fnUntraced(function* (app: App, listener: RequestAuth.Listener, at: NodeHttpServer.Options) {
  const server = ConnectionLimits.createServer()
  const flushBuffered = ConnectionLimits.bufferRequests(server)
  const { authenticate } = yield* ConnectionLimits.limitUnauthenticated(server)
  const { serve } = yield* NodeHttpServer.make(() => server, { ...at, gracefulShutdownTimeout: "2 seconds" })
  // An inherited descriptor may be any file.
  if (listener._tag === "Loopback" && !listensAt(server, listener.port)) return yield* otherAddress
  yield* serve(app(listener, authenticate))
  flushBuffered()
  ConnectionLimits.ignoreUpgrades(server)
})

/** Listens on the port: on the inherited socket, or now, or as soon as the port is free. */
const listenOnLoopback = Effect.fnUntraced(function* (
  app: App,
  { listenerFd, port }: DaemonServerOptions,
  state: State
) {
  const attempt = (at: NodeHttpServer.Options) => ownScope(listen(app, { _tag: "Loopback", port }, at))
  const own = attempt({ host: "127.0.0.1", port }).pipe(
    Effect.tapError(({ cause }) =>
      Effect.sync(() => {
        state.problem = Ports.problemOf(port, cause)
      })
    )
  )
  const first = listenerFd === undefined ? own : Effect.catch(attempt(atFd(listenerFd)), () => own)
  const listening = Effect.sync(() => {
    state.port = port
    state.problem = null
  })
  const retried = Effect.andThen(Effect.retry(Effect.delay(own, retryInterval), Schedule.forever), listening)
  yield* Effect.catch(Effect.andThen(first, listening), (error) =>
    Effect.andThen(Effect.logError(state.problem ?? error.message), Effect.forkScoped(retried))
  )
})

/** Whether the server shuts down, from the first finalizer of the scope on, or the daemon ends. */
const makeEnding = Effect.map(Lifecycle, (lifecycle) => {
  let isClosing = false
  return {
    isEnding: () => isClosing || lifecycle.isEnding(),
    close: Effect.sync(() => {
      isClosing = true
    })
  }
})

/**
 * Provides the server. It listens on the socket when the Layer is built, and on the port as soon as that is free. When
 * the scope closes it accepts no further requests and completes pending ones within 2 seconds.
 *
 * Fails with `SocketUnusable` if it can't listen on the socket.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: DaemonServerOptions) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const state = yield* DaemonState
      const routes = yield* makeRoutes(options)
      const { close, isEnding } = yield* makeEnding
      const app = makeApp(options, state, isEnding, routes)
      yield* listenOnLoopback(app, options, state)
      // The holder of the lock owns the socket; an existing one was left by a killed process. The socket is opened
      // last, so its clients find a complete daemon.
      const { socket } = options
      yield* Effect.mapError(
        SocketFile.listen(socket, state.identity.home, (path) => listen(app, { _tag: "Socket" }, { path })),
        (error) => new SocketUnusable({ socket, code: codeOf(error) })
      )
      // Finalizers run in reverse order: this one runs first.
      yield* Effect.addFinalizer(() => close)
    })
  )
