/**
 * A database without a network or a server, for the pool's logic on virtual time.
 */
import type * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Channel from "effect/Channel"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { AuthenticationError, ConnectionError, SqlError } from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import type { Connector } from "../../src/sql/internal/connector.ts"
import type { Session } from "../../src/sql/internal/pgSession.ts"
import { terminateStatement } from "../../src/sql/internal/poolCore.ts"

/** A session as the database sees it. */
export interface FakeSession {
  readonly id: number
  readonly statements: Array<string>
  /** When the server is through with all that was sent to it, where statements share the session. */
  freeAt: number
  /** It was opened beside another, and is none of the pool's own. */
  readonly beside: boolean
  /** Statements that run on it now. */
  running: number
  isOpen: boolean
  /** Ends it as the network or the server would. */
  readonly kill: () => void
}

export interface FakeDatabase {
  readonly connector: Connector
  readonly sessions: ReadonlyArray<FakeSession>
  readonly openSessions: () => Array<FakeSession>
  /** Sessions that are being opened now. */
  opening: number
  /** Sessions asked for since the start. */
  asked: number
  /** How long it takes to open one, in milliseconds. */
  connectMs: number
  /** Fails every attempt to open one, with this. */
  refusing: SqlError | undefined
  /** Gives no answer any more to anything. */
  silent: boolean
  /** How long it takes to cancel a statement, in milliseconds. */
  cancelMs: number
  /** What was found wrong: two callers on one session, a statement on one that is closed. */
  readonly violations: Array<string>
}

export const refused = (): SqlError =>
  new SqlError({
    reason: new ConnectionError({
      cause: Object.assign(new Error("refused"), { code: "ECONNREFUSED" }),
      message: "refused",
      operation: "connect"
    })
  })

export const wrongPassword = (): SqlError =>
  new SqlError({
    reason: new AuthenticationError({ cause: new Error("wrong"), message: "wrong", operation: "connect" })
  })

const lost = (): SqlError =>
  new SqlError({ reason: new ConnectionError({ cause: new Error("lost"), message: "lost", operation: "query" }) })

/** Statements are `sleep N`, which take N milliseconds, or anything else, which takes none. */
const durationOf = (sql: string): number => Number(/^sleep (\d+)$/.exec(sql)?.[1] ?? 0)

/** Waits until a session is closed. */
const untilClosed = (closing: Set<() => void>) =>
  Effect.callback<never, SqlError>((resume) => {
    const onClose = () => resume(Effect.fail(lost()))
    closing.add(onClose)
    return Effect.sync(() => closing.delete(onClose))
  })

/** Where statements share a session, the server answers them in the order they were sent and none can be taken back. */
export const make = (options: { readonly multiplex?: boolean } = {}): FakeDatabase => {
  const sessions: Array<FakeSession> = []
  const database: FakeDatabase = {
    connector: {
      open: Effect.suspend(() => openSession(false)),
      openBeside: () => openSession(true)
    },
    sessions,
    openSessions: () => sessions.filter((session) => session.isOpen),
    opening: 0,
    asked: 0,
    connectMs: 0,
    refusing: undefined,
    silent: false,
    cancelMs: 0,
    violations: []
  }

  const cancelling = (closing: Set<() => void>) =>
    Effect.suspend(() => Effect.ignore(Effect.timeoutOption(untilClosed(closing), database.cancelMs)))

  const queryShared = (session: FakeSession, closing: Set<() => void>, sql: string) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      session.freeAt = database.silent ? Infinity : Math.max(now, session.freeAt) + durationOf(sql)
      const answer = session.freeAt === Infinity ? Effect.never : Effect.sleep(session.freeAt - now)
      return Effect.raceFirst(answer, untilClosed(closing))
    })

  const query = (session: FakeSession, closing: Set<() => void>, sql: string) =>
    Effect.suspend(() => {
      if (!session.isOpen) return Effect.fail(lost())
      session.statements.push(sql)
      if (options.multiplex) return queryShared(session, closing, sql)
      session.running++
      if (session.running > 1) database.violations.push(`session ${session.id} runs ${session.running} statements`)
      const answer = database.silent ? Effect.never : Effect.delay(Effect.void, durationOf(sql))
      const broken = untilClosed(closing)
      const cancelled = cancelling(closing)
      const work =
        durationOf(sql) === 0 && !database.silent
          ? Effect.void
          : Effect.onInterrupt(Effect.raceFirst(answer, broken), () => cancelled)
      return Effect.onExit(work, () => Effect.sync(() => session.running--))
    })

  const makeSession = (beside: boolean): { readonly session: Session; readonly close: () => void } => {
    const closing = new Set<() => void>()
    const listeners = new Set<() => void>()
    const close = () => {
      if (!fake.isOpen) return
      fake.isOpen = false
      for (const listener of [...closing, ...listeners]) listener()
    }
    const id = sessions.length
    const fake: FakeSession = { id, beside, statements: [], freeAt: 0, running: 0, isOpen: true, kill: close }
    sessions.push(fake)
    const run = (sql: string) => query(fake, closing, sql)
    const connection = {
      processId: fake.id,
      query: (sql: string) =>
        Effect.as(run(sql), { command: "SELECT", rowCount: 1, oid: null, rows: [{ id: fake.id }], fields: [] }),
      queryValues: (sql: string, params: ReadonlyArray<unknown> = []) =>
        Effect.map(run(sql), () => {
          if (sql === terminateStatement) sessions[Number(params[0])]!.kill()
          return [[fake.id]]
        }),
      // Like the driver's, one that is left waits for the server to end it.
      stream: () =>
        Stream.fromChannel(
          Channel.fromTransform((_, scope) => Effect.as(Scope.addFinalizer(scope, cancelling(closing)), Effect.never))
        ),
      interrupt: Effect.void,
      get pin() {
        // As the driver does it, this waits for all that was sent before and can't be interrupted.
        const idle = Effect.flatMap(Clock.currentTimeMillis, (now) => Effect.sleep(Math.max(0, fake.freeAt - now)))
        const drained = Effect.ignore(Effect.raceFirst(idle, untilClosed(closing)))
        return options.multiplex ? Effect.uninterruptible(Effect.as(drained, connection)) : Effect.succeed(connection)
      }
    } as unknown as PgConnection.PgConnection
    return {
      session: {
        connection,
        address: { host: "fake", port: 1, path: undefined },
        isOpen: () => fake.isOpen,
        onClosed: (listener) => {
          if (fake.isOpen) listeners.add(listener)
          else listener()
        },
        destroy: close
      },
      close
    }
  }

  const openSession = (beside: boolean) =>
    Effect.acquireRelease(
      Effect.suspend(() => {
        database.asked++
        database.opening++
        const work = database.silent ? Effect.never : Effect.delay(Effect.void, database.connectMs)
        return work.pipe(
          Effect.andThen(
            Effect.suspend(() =>
              database.refusing === undefined ? Effect.sync(() => makeSession(beside)) : Effect.fail(database.refusing)
            )
          ),
          Effect.onExit(() => Effect.sync(() => database.opening--))
        )
      }),
      ({ close }) => Effect.sync(close),
      { interruptible: true }
    ).pipe(Effect.map(({ session }) => session))

  return database
}
