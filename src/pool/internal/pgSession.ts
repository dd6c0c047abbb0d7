/**
 * One Postgres session over a socket of our own.
 *
 * The protocol is `@effect/sql-pg`'s. The socket is made here, because only its owner can end it at a moment of its
 * choosing: a session over a dead network neither answers nor closes, and a polite goodbye to it would keep the
 * process alive until TCP gives up.
 */
import * as net from "node:net"
import type { Duplex } from "node:stream"
import type * as PgClient from "@effect/sql-pg/PgClient"
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"

/** An open session and the two things that a pool must know and do about it. */
export interface Session {
  readonly connection: PgConnection.PgConnection
  readonly address: Address
  /** A pooler stands between it and the server, as far as was looked at. */
  readonly isPooled: boolean
  readonly isOpen: () => boolean
  /** Calls back once, when the session is over for whatever reason. */
  readonly onClosed: (listener: () => void) => void
  /**
   * Ends the session at once, without a word to the server. Whatever runs on it fails; a cancel request that was begun
   * still goes out.
   */
  readonly destroy: () => void
}

/** Where a server listens: a TCP address or the path of a Unix socket. */
export interface Address {
  readonly host: string
  readonly port: number
  readonly path: string | undefined
}

/** How long a goodbye may take before the socket is ended without the server's. */
const lingerMs = 250

/**
 * The sockets of one session: its own first, then those of its cancel requests. Only its own is ended from here: a
 * cancel request on a slow line is still on its way when the session has been given up, and the driver ends it itself
 * within 5 seconds.
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
    // A late error of a socket nobody reads any more must not end the process.
    socket.on("error", () => {})
    return socket
  }

  destroy(): void {
    this.main?.destroy()
  }

  /** Waits until the session's own is closed, but not for a peer that is gone. */
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

/** What opening a session needs beside its address. */
export interface SessionConfig {
  readonly client: PgClient.PgClientConfig
  readonly keepAliveMs: number
}

/** Asks whether TLS is spoken, which every server and every pooler answers with a letter before anything else. */
const sslRequest = Uint8Array.of(0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f)

/** Whether somebody answers at an address. It logs in nowhere, so it takes no slot of the server. */
export const probe = (config: SessionConfig, address: Address): Effect.Effect<boolean> =>
  Effect.acquireUseRelease(
    Effect.sync(() => (config.client.stream ?? (() => connectSocket(address, config.keepAliveMs)))()),
    (socket) =>
      Effect.callback<boolean>((resume) => {
        // A late error of a socket nobody reads any more must not end the process.
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
      // Nobody should wait for the goodbye, least of all a caller who hands a broken connection back.
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

/** The same session without named statements, which a pooler would look for on a server that never had them. */
export const unprepared = (session: Session): Session => ({
  ...session,
  connection: withoutPreparedStatements(session.connection)
})
