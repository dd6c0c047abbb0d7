/**
 * What can be told of the transaction that an effect runs in.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as SqlClient from "effect/sql/SqlClient"
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

/** The spans of the transactions around, of whatever client, the innermost first. */
const transactionSpans = (context: Context.Context<never>): ReadonlyArray<Tracer.Span> => {
  const spans: Array<Tracer.Span> = []
  let span: Tracer.AnySpan | undefined = Context.getOrUndefined(context, Tracer.ParentSpan)
  while (span?._tag === "Span") {
    if (span.name === "sql.transaction") spans.push(span)
    span = span.parent._tag === "Some" ? span.parent.value : undefined
  }
  return spans
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
  /** Whether it is known to be over, one way or the other. */
  readonly hasEnded: Effect.Effect<boolean>
}

/**
 * The transaction of this client that a caller opened, by the context of the caller; `undefined` where it opened none.
 *
 * SQL clients tell of commits only. That a level has ended is seen by its refusing callbacks, which says nothing of the
 * levels around it; what became of those is in their spans. A span does not say which client it is of, so they count for
 * something only where there are as many as this client has levels.
 */
export const outer = (sql: SqlClient.SqlClient, caller: Context.Context<never>): Outer | undefined => {
  const level = Context.getOrUndefined(caller, sql.transactionService)
  if (level === undefined) return undefined
  const [, depth] = level
  const levelHasEnded = sql
    .afterCommit(Effect.void)
    .pipe(Effect.provideContext(caller), Effect.exit, Effect.map(Exit.isFailure))
  /** The spans of all levels; nothing where they can't be told from others. */
  const ownSpans = (): ReadonlyArray<Tracer.Span> | undefined => {
    const spans = transactionSpans(caller)
    return spans.length === depth + 1 ? spans : undefined
  }
  return {
    wasRolledBack: Effect.map(levelHasEnded, (ended) => {
      const spans = ended ? ownSpans() : undefined
      return spans !== undefined && lastWord(spans) === "rollback"
    }),
    hasEnded: Effect.map(levelHasEnded, (ended) => {
      if (!ended || depth === 0) return ended
      return ownSpans()?.every((span) => span.status._tag === "Ended") ?? false
    })
  }
}

/** The client that has a transaction open in the context: the one of the context, or one of these. */
export const clientOf = (
  context: Context.Context<never>,
  others: Iterable<SqlClient.SqlClient>
): SqlClient.SqlClient | undefined => {
  if (!isOpen(context)) return undefined
  const own = Context.getOrUndefined(context, SqlClient.SqlClient)
  for (const sql of own === undefined ? others : [own, ...others]) {
    if (Context.getOrUndefined(context, sql.transactionService) !== undefined) return sql
  }
  return undefined
}
