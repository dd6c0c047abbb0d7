/**
 * One Postgres session over a socket of the pool.
 *
 * `@effect/sql-pg` implements the protocol. The pool creates the socket, because only its owner can destroy it: a
 * session over a dead network neither responds nor closes, and a graceful close would prevent the exit of the process until
 * the TCP timeout.
 */
import * as net from "node:net"
import type { Duplex } from "node:stream"
import type * as PgClient from "@effect/sql-pg/PgClient"
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"

/** An open session with the control that a pool needs. */
export interface Session {
  readonly connection: PgConnection.PgConnection
  readonly address: Address
  /** A pooler is between the session and the server, as far as was checked. */
  readonly isPooled: boolean
  readonly isOpen: () => boolean
  /** Calls the listener once, when the session has ended for any reason. */
  readonly onClosed: (listener: () => void) => void
  /**
   * Ends the session immediately, without notifying the server. Its statements fail; a cancel request in progress is
   * still sent.
   */
  readonly destroy: () => void
}

/** Where a server listens: a TCP address or the path of a Unix socket. */
export interface Address {
  readonly host: string
  readonly port: number
  readonly path: string | undefined
}

/** The timeout of a graceful close, in milliseconds. */
const lingerMs = 250

/**
 * The sockets of one session: its own first, then those of its cancel requests. Only its own is destroyed here: on a
 * slow network a cancel request may outlast the session, and the driver ends it within 5 seconds.
 */
class Sockets {
  private readonly open: () => Duplex
  main: Duplex | undefined

  constructor(open: () => Duplex) {
    this.open = open
  }

  readonly next = (): Duplex => {
    const socket = this.open()
    this.main ??= socket
    // An error of an abandoned socket must not end the process.
    socket.on("error", () => {})
    return socket
  }

  destroy(): void {
    this.main?.destroy()
  }

  /** Waits for the session's own socket to close, within the timeout. */
  readonly linger: Effect.Effect<void> = Effect.callback<void>((resume) => {
    const { main } = this
    if (main === undefined || main.closed) return resume(Effect.void)
    main.once("close", () => resume(Effect.void))
  }).pipe(Effect.timeoutOption(lingerMs), Effect.andThen(Effect.sync(() => this.destroy())))
}

const connectSocket = (address: Address, keepAliveMs: number): net.Socket =>
  address.path === undefined
    ? net.connect({
        host: address.host,
        port: address.port,
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: keepAliveMs
      })
    : net.connect({ path: address.path })

export interface SessionConfig {
  readonly client: PgClient.PgClientConfig
  readonly keepAliveMs: number
}

/** An SSLRequest, to which every server and pooler responds before anything else. */
const sslRequest = Uint8Array.of(0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f)

/** Whether a server responds at an address. It does not log in, so it uses no slot of the server. */
export const probe = (config: SessionConfig, address: Address): Effect.Effect<boolean> =>
  Effect.acquireUseRelease(
    Effect.sync(() => (config.client.stream ?? (() => connectSocket(address, config.keepAliveMs)))()),
    (socket) =>
      Effect.callback<boolean>((resume) => {
        // An error of an abandoned socket must not end the process.
        socket.on("error", () => resume(Effect.succeed(false)))
        socket.once("close", () => resume(Effect.succeed(false)))
        socket.once("data", () => resume(Effect.succeed(true)))
        socket.write(sslRequest)
      }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** Opens a session within `timeoutMs`; it ends with the scope. */
export const open = (
  config: SessionConfig,
  address: Address,
  timeoutMs: number
): Effect.Effect<Session, SqlError, Scope.Scope> =>
  Effect.gen(function* () {
    const sockets = yield* Effect.acquireRelease(
      Effect.sync(() => new Sockets(config.client.stream ?? (() => connectSocket(address, config.keepAliveMs)))),
      // No caller waits for the close, least of all one that returns a broken connection.
      (sockets) => Effect.forkDetach(sockets.linger)
    )
    const connection = yield* PgConnection.make({
      ...config.client,
      host: address.host,
      port: address.port,
      connectTimeout: timeoutMs,
      stream: sockets.next
    })
    const socket = sockets.main!
    return {
      connection,
      address,
      isPooled: false,
      isOpen: () => !socket.destroyed && socket.readable,
      onClosed: (listener) => {
        if (socket.closed) listener()
        else socket.once("close", listener)
      },
      destroy: () => sockets.destroy()
    }
  })

const withoutPreparedStatements = (connection: PgConnection.PgConnection): PgConnection.PgConnection => ({
  [PgConnection.TypeId]: PgConnection.TypeId,
  config: connection.config,
  processId: connection.processId,
  pin: Effect.map(connection.pin, withoutPreparedStatements),
  query: (sql, params) => connection.query(sql, params, false),
  queryValues: (sql, params) => connection.queryValues(sql, params, false),
  stream: connection.stream,
  listen: connection.listen,
  interrupt: connection.interrupt
})

/**
 * The same session without named statements, which exist in one session of the server behind a pooler, but not in the
 * others.
 */
export const unprepared = (session: Session): Session => ({
  ...session,
  connection: withoutPreparedStatements(session.connection)
})
