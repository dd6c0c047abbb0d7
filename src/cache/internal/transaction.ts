/**
 * What can be told of the transaction that an effect runs in.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as SqlClient from "effect/sql/SqlClient"
import * as Tracer from "effect/Tracer"

/** The reference by which every SQL client names the service of the transaction that is open. */
const CurrentTransaction = Context.Reference<Context.Key<any, object> | undefined>(
  "effect/sql/CurrentTransactionService",
  { defaultValue: () => undefined }
)

/** Whether a transaction is open: its reads may see what nobody else sees yet, and may be undone. */
export const isOpen = (context: Context.Context<never>): boolean => {
  const key = Context.get(context, CurrentTransaction)
  return key !== undefined && Context.getOrUndefined(context, key) !== undefined
}

const transactionSpans = function* (context: Context.Context<never>): Generator<Tracer.Span> {
  let span: Tracer.AnySpan | undefined = Context.getOrUndefined(context, Tracer.ParentSpan)
  while (span?._tag === "Span") {
    if (span.name === "sql.transaction") yield span
    span = span.parent._tag === "Some" ? span.parent.value : undefined
  }
}

const hasEvent = (span: Tracer.Span, name: string): boolean => {
  const events = (span as { readonly events?: unknown }).events
  return Array.isArray(events) && events.some((event: unknown) => Array.isArray(event) && event[0] === name)
}

/**
 * What the innermost of these has come to that was committed or rolled back. A rollback undoes what is inside it, and
 * nothing undoes a commit.
 */
const lastWord = (spans: ReadonlyArray<Tracer.Span>): "commit" | "rollback" | undefined => {
  for (const span of spans) {
    if (hasEvent(span, "effect.sql.transaction.commit")) return "commit"
    if (span.status._tag === "Ended" && hasEvent(span, "effect.sql.transaction.rollback")) return "rollback"
  }
  return undefined
}

/** A transaction that a caller opened around a mutation. */
export interface Outer {
  /** Whether it is known to have been rolled back, in whole or in the part that the mutation belongs to. */
  readonly wasRolledBack: Effect.Effect<boolean>
  /** Whether it is over, one way or the other, as far as can be told. */
  readonly hasEnded: Effect.Effect<boolean>
}

/**
 * The transaction of a caller, by the context in which the mutation was asked for.
 *
 * SQL clients tell of commits only. That a level has ended is seen by its refusing callbacks, which says nothing of the
 * levels around it; that a level was rolled back, and whether those around it have ended, is in their spans. Where no
 * span can be read, a transaction is over as soon as its innermost level is.
 */
export const outer = (sql: SqlClient.SqlClient, context: Context.Context<never>): Outer => {
  const levelHasEnded = sql
    .afterCommit(Effect.void)
    .pipe(Effect.provideContext(context), Effect.exit, Effect.map(Exit.isFailure))
  const spans = () => [...transactionSpans(context)]
  return {
    wasRolledBack: Effect.map(levelHasEnded, (ended) => ended && lastWord(spans()) === "rollback"),
    hasEnded: Effect.map(levelHasEnded, (ended) => ended && spans().every((span) => span.status._tag === "Ended"))
  }
}
