/**
 * Gets hold of a connection that nobody else is on.
 *
 * Where statements share connections, the one that the pool hands out may have strangers' statements on it. The driver
 * would wait for them too, but let go of no caller who leaves meanwhile; so the wait is here, before it is asked.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pool from "effect/Pool"
import * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import type { PoolCore } from "./poolCore.ts"
import type { PooledConnection } from "./pooledConnection.ts"
import { Retry, type PoolRequest } from "./poolRequest.ts"

/** A connection that takes nobody new until its scope closes. */
export interface ExclusiveConnection {
  readonly connection: PooledConnection
  readonly scope: Scope.Closeable
}

const reserve = (core: PoolCore, connection: PooledConnection): Effect.Effect<void, never, Scope.Scope> =>
  Effect.andThen(
    Pool.reserve(core.pool, connection),
    Effect.acquireRelease(
      Effect.sync(() => {
        connection.claimed = true
      }),
      () =>
        Effect.sync(() => {
          connection.claimed = false
        })
    )
  )

const isAlone = ({ connection }: ExclusiveConnection): boolean => connection.isFree && connection.staysOpen

/** Those that a caller has asked to have alone; it gets the first that is. */
export class ExclusiveAcquire {
  private readonly core: PoolCore
  private readonly ticket: PoolRequest
  private readonly claimed = new Set<ExclusiveConnection>()

  constructor(core: PoolCore, ticket: PoolRequest) {
    this.core = core
    this.ticket = ticket
  }

  /** Waits, interruptibly, until the caller has one connection alone, and gives back the others. */
  take(): Effect.Effect<ExclusiveConnection, SqlError> {
    return Effect.flatMap(this.another(), (claimed) => (isAlone(claimed) ? Effect.succeed(claimed) : this.choose()))
  }

  /** Gives back all that is claimed. */
  release(): Effect.Effect<void> {
    return this.drop(this.claimed)
  }

  /** Claims one more, a new one where the pool may still grow: one that is claimed counts as full there. */
  private another(): Effect.Effect<ExclusiveConnection, SqlError> {
    const { core, ticket } = this
    const scope = Scope.makeUnsafe()
    const good = Effect.flatMap(Pool.get(core.pool), (connection) =>
      core.whenGood(ticket, connection, () => this.reserve({ connection, scope }))
    )
    const tried = Effect.onExit(Scope.provide(good, scope), (exit) => {
      if (Exit.isFailure(exit) || exit.value === Retry) return Scope.close(scope, exit)
      this.claimed.add(exit.value)
      return Effect.void
    })
    return Effect.flatMap(tried, (claimed) => (claimed === Retry ? this.another() : Effect.succeed(claimed)))
  }

  private reserve(claimed: ExclusiveConnection): Effect.Effect<ExclusiveConnection, never, Scope.Scope> {
    const { core } = this
    return core.settings.concurrency === 1
      ? Effect.succeed(claimed)
      : Effect.as(reserve(core, claimed.connection), claimed)
  }

  private choose(): Effect.Effect<ExclusiveConnection, SqlError> {
    return Effect.suspend(() => {
      const all = Array.from(this.claimed)
      const alone = all.find(isAlone)
      if (alone !== undefined) {
        return Effect.as(this.drop(all.filter((claimed) => claimed !== alone)), alone)
      }
      const ending = all.filter(({ connection }) => !connection.staysOpen)
      const more = ending.length < all.length ? this.wait() : this.another()
      return this.drop(ending).pipe(Effect.andThen(more), Effect.andThen(this.choose()))
    })
  }

  /** Waits until one of them may be free; an attempt to get another that fails is no reason to give up these. */
  private wait(): Effect.Effect<unknown> {
    const { concurrency, max } = this.core.settings
    const freed = Effect.raceAllFirst(Array.from(this.claimed, ({ connection }) => connection.free))
    if (concurrency === 1 || this.claimed.size >= max) return freed
    const another = Effect.catch(this.another(), () => Effect.never)
    return Effect.raceFirst(freed, another)
  }

  private drop(dropped: Iterable<ExclusiveConnection>): Effect.Effect<void> {
    return Effect.forEach(
      Array.from(dropped),
      (claimed) => {
        this.claimed.delete(claimed)
        return Scope.close(claimed.scope, Exit.void)
      },
      { discard: true }
    )
  }
}
