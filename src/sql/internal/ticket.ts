/**
 * One caller's way through the pool.
 */
import type { SqlError } from "effect/sql/SqlError"
import type { Entry } from "./deadlines.ts"
import type { PooledConnection } from "./pooledConnection.ts"

export class Ticket {
  readonly startedAt: number
  readonly deadlineAt: number | undefined
  /** Whether the caller has its connection for itself. */
  readonly exclusive: boolean
  connection: PooledConnection | undefined = undefined
  /** When it got its connection; negative where it had one all the time. */
  acquiredAt = -1
  /** Its statement is on its way to the server or back. */
  running = false
  /** Its fiber has ended. */
  over = false
  /** Its place among the statements of a shared connection. */
  sequence = 0
  entry: Entry | undefined = undefined
  private onFail: ((error: SqlError) => void) | undefined = undefined

  constructor(startedAt: number, deadlineAt: number | undefined, exclusive: boolean) {
    this.startedAt = startedAt
    this.deadlineAt = deadlineAt
    this.exclusive = exclusive
  }

  get isOverdue(): boolean {
    return this.deadlineAt !== undefined && this.startedAt >= this.deadlineAt
  }

  /**
   * Says what ends the caller's wait. It is a method because V8 allocates closures that are assigned to a property of
   * another object as long-lived, and each would keep the objects of later statements from being collected early.
   */
  whenFailed(onFail: (error: SqlError) => void): void {
    this.onFail = onFail
  }

  /** Ends the caller's wait with an error. */
  fail(error: SqlError): void {
    this.onFail?.(error)
  }
}
