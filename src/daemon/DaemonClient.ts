/**
 * Queries the daemon of a home over its socket, and stops it.
 *
 * The client connects only if no other user could have created the socket. Every request has a timeout. Failures are
 * four errors: no daemon runs, it does not respond, it rejects the request, or the folder of the socket is not trusted.
 *
 * @since 0.1.0
 */
import * as path from "node:path"
import * as ByteSize from "effect/ByteSize"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { DaemonStatus, Health } from "./DaemonStatus.ts"
import { hostPaths } from "../host/paths.ts"
import * as Layout from "../host/paths.ts"
import { problemOf } from "../internal/privateFolder.ts"

const id = "athena-hooks/daemon/DaemonClient"

/**
 * No process listens on the socket.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotRunning extends Schema.TaggedError<NotRunning>(`${id}/NotRunning`)("NotRunning", {
  socket: Schema.String
}) {
  override get message(): string {
    return "the daemon is not running"
  }
}

/**
 * A process listens on the socket but sent no valid response in time.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unresponsive extends Schema.TaggedError<Unresponsive>(`${id}/Unresponsive`)("Unresponsive", {
  /** The kind of failure. Never contains the response. */
  detail: Schema.String
}) {
  override get message(): string {
    return `the daemon does not respond: ${this.detail}`
  }
}

/**
 * The daemon rejected the request.
 *
 * @category errors
 * @since 0.1.0
 */
export class Refused extends Schema.TaggedError<Refused>(`${id}/Refused`)("Refused", {
  /** The HTTP status: 401 for a wrong token, 409 for another protocol version, 503 during shutdown. */
  status: Schema.Int,
  /** The version of the daemon, if its response contains one. */
  version: Schema.NullOr(Schema.String)
}) {
  override get message(): string {
    return `the daemon rejected the request (status ${this.status})`
  }
}

/**
 * The folder of the socket is accessible to other users or belongs to one, so its socket is not trusted.
 *
 * @category errors
 * @since 0.1.0
 */
export class UntrustedFolder extends Schema.TaggedError<UntrustedFolder>(`${id}/UntrustedFolder`)("UntrustedFolder", {
  folder: Schema.String,
  /** The problem of the folder. */
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.folder} is ${this.detail}, so nothing in it is trusted; it must belong to you alone (mode 700)`
  }
}

/**
 * Errors of the client.
 *
 * @category errors
 * @since 0.1.0
 */
export type DaemonClientError = NotRunning | Unresponsive | Refused | UntrustedFolder

/**
 * Client of the daemon of one home.
 *
 * @category services
 * @since 0.1.0
 */
export class DaemonClient extends Context.Service<
  DaemonClient,
  {
    /** Identity and problems of the daemon. */
    readonly health: Effect.Effect<Health, DaemonClientError>
    /** Activity of the daemon since it started. */
    readonly status: Effect.Effect<DaemonStatus, DaemonClientError>
    /** Stops the daemon. It accepts no further requests, completes pending ones and ends within seconds. */
    readonly stop: Effect.Effect<void, DaemonClientError>
  }
>()(id) {}

/**
 * Default timeout of a request: 2 seconds.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaultTimeout: Duration.Duration = Duration.seconds(2)

const maxResponseBytes = ByteSize.mebibytes(1)

/**
 * Options of the client.
 *
 * @category models
 * @since 0.1.0
 */
export interface DaemonClientOptions {
  /** Absolute path of the home, see `Database.home`. */
  readonly home: string
  /**
   * Timeout of a request, from the connection to the last byte of the response, greater than 0. 2 seconds when absent.
   */
  readonly timeout?: Duration.Input | undefined
}

const absent = new Set(["ENOENT", "ECONNREFUSED", "ENOTSOCK"])

const codeOf = (cause: unknown): string => {
  const code = typeof cause === "object" && cause !== null && "code" in cause ? cause.code : undefined
  return typeof code === "string" ? code : "the response is invalid"
}

const failure =
  (socket: string) =>
  (error: HttpClientError.HttpClientError): NotRunning | Unresponsive => {
    const code = codeOf(error.reason.cause)
    return absent.has(code) ? new NotRunning({ socket }) : new Unresponsive({ detail: code })
  }

const unreadable = () => new Unresponsive({ detail: "the response is invalid" })

/** A response without the protocol header comes from another program. */
const accepted = (
  response: HttpClientResponse.HttpClientResponse
): Effect.Effect<HttpClientResponse.HttpClientResponse, Unresponsive | Refused> => {
  const protocol = response.headers[Layout.headers.protocol]
  if (protocol === undefined) return Effect.fail(unreadable())
  if (response.status >= 200 && response.status < 300 && protocol === Layout.protocol) return Effect.succeed(response)
  const status = response.status < 300 ? 409 : response.status
  return Effect.fail(new Refused({ status, version: response.headers[Layout.headers.version] ?? null }))
}

/**
 * Makes the client. The `HttpClient` must connect through the socket of the home, see `socketOf`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (options: DaemonClientOptions) {
  const timeout = Duration.fromInputUnsafe(options.timeout ?? defaultTimeout)
  if (!(Duration.toMillis(timeout) > 0)) {
    return yield* Effect.die(new RangeError("DaemonClient: timeout must be more than 0; leave it out for 2 seconds"))
  }
  const places = hostPaths(options.home)
  const client = yield* HttpClient.HttpClient
  const files = yield* FileSystem.FileSystem

  const checkFolder = Effect.suspend((): Effect.Effect<void, NotRunning | UntrustedFolder> => {
    if (process.platform === "win32") return Effect.void
    const folder = path.dirname(places.socket)
    const problem = problemOf(folder)
    if (problem === undefined) return Effect.void
    return Effect.fail(
      problem === "absent"
        ? new NotRunning({ socket: places.socket })
        : new UntrustedFolder({ folder, detail: problem })
    )
  })

  // Without a token the request is sent all the same: the rejection shows that the daemon runs.
  const token = Effect.map(
    Effect.orElseSucceed(files.readFileString(places.token), () => "none"),
    (text) => text.trim()
  )

  const send = <A, E>(
    request: HttpClientRequest.HttpClientRequest,
    read: (response: HttpClientResponse.HttpClientResponse) => Effect.Effect<A, E>
  ): Effect.Effect<A, DaemonClientError> =>
    Effect.gen(function* () {
      yield* checkFolder
      const response = yield* client
        .execute(
          request.pipe(
            HttpClientRequest.bearerToken(yield* token),
            HttpClientRequest.setHeader(Layout.headers.protocol, Layout.protocol)
          )
        )
        .pipe(Effect.mapError(failure(places.socket)), Effect.flatMap(accepted))
      return yield* Effect.mapError(read(response), unreadable)
    }).pipe(
      Effect.provideService(HttpIncomingMessage.MaxBodySize, maxResponseBytes),
      Effect.timeoutOrElse({
        duration: timeout,
        orElse: () => Effect.fail(new Unresponsive({ detail: `no response within ${Duration.format(timeout)}` }))
      })
    )

  return DaemonClient.of({
    health: send(HttpClientRequest.get("http://localhost/health"), HttpIncomingMessage.schemaBodyJson(Health)),
    status: send(HttpClientRequest.get("http://localhost/status"), HttpIncomingMessage.schemaBodyJson(DaemonStatus)),
    stop: send(HttpClientRequest.post("http://localhost/stop"), (response) => Effect.asVoid(response.text))
  })
})

/**
 * Path of the socket of a home, for the `HttpClient`.
 *
 * @category accessors
 * @since 0.1.0
 */
export const socketOf = (home: string): string => hostPaths(home).socket

/**
 * Provides the client of a home.
 *
 * **Example**
 *
 * ```ts
 * import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
 * import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
 * import * as DaemonClient from "athena-hooks/daemon/DaemonClient"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const home = "/home/ada/.athena"
 * const client = DaemonClient.layer({ home }).pipe(
 *   Layer.provide(NodeHttpClient.layerNodeHttpOptions({ socketPath: DaemonClient.socketOf(home) })),
 *   Layer.provide(NodeFileSystem.layer)
 * )
 *
 * const version = DaemonClient.DaemonClient.use(({ health }) => Effect.map(health, (known) => known.version)).pipe(
 *   Effect.provide(client)
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options: DaemonClientOptions
): Layer.Layer<DaemonClient, never, HttpClient.HttpClient | FileSystem.FileSystem> =>
  Layer.effect(DaemonClient, make(options))
