/**
 * A database without a network or a server, for the pool's logic on virtual time.
 */
import type * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Channel from "effect/Channel"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { AuthenticationError, ConnectionError, SqlError, UnknownError } from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import type { Connector } from "../../src/pool/internal/connector.ts"
import type { Session } from "../../src/pool/internal/pgSession.ts"
import { terminateStatement } from "../../src/pool/internal/cancellation.ts"

/** A statement without a response yet. Times are milliseconds of the test's clock. */
interface Pending {
  readonly sql: string
  readonly endsAt: number
  /** The time at which its caller left. */
  leftAt: number | undefined
}

/** A session as the database sees it. */
export interface FakeSession {
  readonly id: number
  readonly statements: Array<string>
  /** The pending statements in order. */
  readonly pending: Set<Pending>
  /** The time until which a caller waited for a response. */
  awaitedUntil: number
  /** Whether one caller has it exclusively. */
  pinned: boolean
  /** It was opened beside another, and is none of the pool's own. */
  readonly beside: boolean
  isOpen: boolean
  /** Ends it as the network or the server would. */
  readonly kill: () => void
}

export interface FakeDatabase {
  readonly connector: Connector
  readonly sessions: ReadonlyArray<FakeSession>
  readonly openSessions: () => Array<FakeSession>
  /** Sessions of the pool's own that are being opened now. */
  opening: number
  /** The sessions requested since the start. */
  asked: number
  /** How long it takes to open one, in milliseconds. */
  connectMs: number
  /** Fails every attempt to open one, with this. */
  refusing: SqlError | undefined
  /** Responds to nothing from now on. */
  silent: boolean
  /** How long it takes to cancel a statement, in milliseconds. */
  cancelMs: number
  /** The latency of a response on a shared session, in milliseconds. */
  answerMs: number
  /** The violations: two callers on one session, a session ended while another caller waits for its response. */
  readonly violations: Array<string>
  /**
   * For how long sessions have worked at `now` for nobody: who asked is gone, and nobody waits for an answer behind it.
   */
  readonly desertedMs: (now: number) => Array<number>
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

/** The response of the server to `fail CODE`. */
const failure = (code: string): SqlError =>
  new SqlError({
    reason: new UnknownError({
      cause: Object.assign(new Error(`failed by ${code}`), { code }),
      message: "PgConnection: The server reported an error",
      operation: "query"
    })
  })

/** Statements are `sleep N`, which take N milliseconds, `fail CODE`, or anything else; these take none. */
const durationOf = (sql: string): number => Number(/^sleep (\d+)$/.exec(sql)?.[1] ?? 0)

/** Waits until a session is closed. */
const untilClosed = (closing: Set<() => void>) =>
  Effect.callback<never, SqlError>((resume) => {
    const onClose = () => resume(Effect.fail(lost()))
    closing.add(onClose)
    return Effect.sync(() => closing.delete(onClose))
  })

/** On a shared session the server responds in order, and no statement can be withdrawn. */
export const make = (options: { readonly multiplex?: boolean | undefined } = {}): FakeDatabase => {
  const sessions: Array<FakeSession> = []
  const closers = new Map<number, () => void>()
  const database: FakeDatabase = {
    connector: {
      open: Effect.suspend(() => openSession(false)),
      openForTermination: () => openSession(true),
      probe: Effect.suspend(() => (database.silent ? Effect.never : Effect.succeed(true))),
      openDirect: undefined
    },
    sessions,
    openSessions: () => sessions.filter((session) => session.isOpen),
    opening: 0,
    asked: 0,
    connectMs: 0,
    refusing: undefined,
    silent: false,
    cancelMs: 0,
    answerMs: 0,
    violations: [],
    desertedMs: (now) =>
      database.openSessions().flatMap(({ awaitedUntil, pending }) => {
        const deserted = pending.size > 0 && Array.from(pending).every(({ leftAt }) => leftAt !== undefined)
        return deserted ? [now - awaitedUntil] : []
      })
  }

  const cancelling = (closing: Set<() => void>) =>
    Effect.suspend(() => Effect.ignore(Effect.timeoutOption(untilClosed(closing), database.cancelMs)))

  /** Sends a statement behind others; its caller can leave but not withdraw it. */
  const queryShared = (session: FakeSession, closing: Set<() => void>, sql: string) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      if (session.pinned) database.violations.push(`session ${session.id} is shared while somebody has it alone`)
      const startsAt = Math.max(now, ...Array.from(session.pending, ({ endsAt }) => endsAt))
      const endsAt = database.silent ? Infinity : startsAt + durationOf(sql)
      const statement: Pending = { sql, endsAt, leftAt: undefined }
      if (endsAt + database.answerMs <= now) return Effect.void
      session.pending.add(statement)
      const answered = Effect.sync(() => {
        session.pending.delete(statement)
        session.awaitedUntil = endsAt + database.answerMs
      })
      const answer = endsAt === Infinity ? Effect.never : Effect.delay(answered, endsAt + database.answerMs - now)
      const left = Effect.flatMap(Clock.currentTimeMillis, (leftAt) => {
        statement.leftAt = leftAt
        session.awaitedUntil = leftAt
        const ended = Effect.sync(() => session.pending.delete(statement))
        return Effect.forkDetach(endsAt === Infinity ? Effect.never : Effect.delay(ended, Math.max(0, endsAt - leftAt)))
      })
      return Effect.onInterrupt(Effect.raceFirst(answer, untilClosed(closing)), () => left)
    })

  const queryAlone = (session: FakeSession, closing: Set<() => void>, sql: string) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const statement: Pending = { sql, endsAt: now + durationOf(sql), leftAt: undefined }
      if (Array.from(session.pending).some(({ endsAt }) => endsAt > now))
        database.violations.push(`session ${session.id} runs two statements at once`)
      if (statement.endsAt <= now && !database.silent) return Effect.void
      session.pending.add(statement)
      const answer = database.silent ? Effect.never : Effect.sleep(statement.endsAt - now)
      const left = Effect.flatMap(Clock.currentTimeMillis, (leftAt) => {
        statement.leftAt = leftAt
        session.awaitedUntil = leftAt
        // As the driver does it, this waits for the cancel also where the session is over before.
        return Effect.sleep(database.cancelMs)
      })
      return Effect.raceFirst(answer, untilClosed(closing)).pipe(
        Effect.onInterrupt(() => left),
        Effect.ensuring(Effect.sync(() => session.pending.delete(statement)))
      )
    })

  const query = (session: FakeSession, closing: Set<() => void>, sql: string, shared: boolean) =>
    Effect.suspend(() => {
      if (!session.isOpen) return Effect.fail(lost())
      session.statements.push(sql)
      const code = /^fail (\w+)$/.exec(sql)?.[1]
      if (code !== undefined) return Effect.fail(failure(code))
      return (shared ? queryShared : queryAlone)(session, closing, sql)
    })

  const makeSession = (beside: boolean): { readonly session: Session; readonly close: () => void } => {
    const closing = new Set<() => void>()
    const listeners = new Set<() => void>()
    const kill = () => {
      if (!fake.isOpen) return
      fake.isOpen = false
      for (const listener of [...closing, ...listeners]) listener()
    }
    /** Ends it as the pool does, which must not happen while a caller waits. */
    const close = () => {
      if (!fake.isOpen) return
      for (const { leftAt, sql } of fake.pending) {
        if (leftAt === undefined) database.violations.push(`session ${id} was ended under "${sql}" of somebody else`)
      }
      kill()
    }
    const id = sessions.length
    const fake: FakeSession = {
      id,
      beside,
      statements: [],
      pending: new Set(),
      awaitedUntil: 0,
      pinned: false,
      isOpen: true,
      kill
    }
    sessions.push(fake)
    closers.set(id, close)
    const statements = (shared: boolean) => {
      const run = (sql: string) => query(fake, closing, sql, shared)
      return {
        processId: id,
        query: (sql: string) =>
          Effect.as(run(sql), { command: "SELECT", rowCount: 1, oid: null, rows: [{ id }], fields: [] }),
        queryValues: (sql: string, params: ReadonlyArray<unknown> = []) =>
          Effect.map(run(sql), () => {
            if (sql === terminateStatement) closers.get(Number(params[0]))!()
            return [[id]]
          }),
        // Like the driver's, one that is left waits for the server to end it.
        stream: () =>
          Stream.fromChannel(
            Channel.fromTransform((_, scope) => Effect.as(Scope.addFinalizer(scope, cancelling(closing)), Effect.never))
          ),
        interrupt: Effect.void
      }
    }
    const alone = statements(false)
    // As the driver does it, this waits for all that was sent before and can't be interrupted.
    const drained = Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const freeAt = Math.max(now, ...Array.from(fake.pending, ({ endsAt }) => endsAt))
      if (freeAt === now) return Effect.void
      const through = freeAt === Infinity ? Effect.never : Effect.sleep(freeAt - now)
      return Effect.ignore(Effect.raceFirst(through, untilClosed(closing)))
    })
    const pin = Effect.acquireRelease(
      Effect.map(drained, () => {
        fake.pinned = true
        return alone
      }),
      () =>
        Effect.sync(() => {
          fake.pinned = false
        })
    )
    const connection = {
      ...statements(options.multiplex === true),
      pin: options.multiplex ? pin : Effect.succeed(alone)
    } as unknown as PgConnection.PgConnection
    return {
      session: {
        connection,
        address: { host: "fake", port: 1, path: undefined },
        isPooled: false,
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
        if (!beside) database.opening++
        const work = database.silent
          ? Effect.never
          : Effect.delay(Effect.void, Math.max(beside ? 1 : 0, database.connectMs))
        return work.pipe(
          Effect.andThen(
            Effect.suspend(() =>
              database.refusing === undefined ? Effect.sync(() => makeSession(beside)) : Effect.fail(database.refusing)
            )
          ),
          Effect.onExit(() =>
            Effect.sync(() => {
              if (!beside) database.opening--
            })
          )
        )
      }),
      ({ close }) => Effect.sync(close),
      { interruptible: true }
    ).pipe(Effect.map(({ session }) => session))

  return database
}
