/**
 * What can be told of the transaction that an effect runs in.
 */
import * as Context from "effect/Context"
import type * as Tracer from "effect/Tracer"

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

const rolledBackSpan = (span: Tracer.Span): boolean => {
  const events = (span as { readonly events?: unknown }).events
  return (
    span.name === "sql.transaction" &&
    span.status._tag === "Ended" &&
    Array.isArray(events) &&
    events.some((event: unknown) => Array.isArray(event) && event[0] === "effect.sql.transaction.rollback")
  )
}

/** Whether the transaction of a span, or one around it, is known to have been rolled back. */
export const wasRolledBack = (span: Tracer.AnySpan | undefined): boolean => {
  for (
    let current = span;
    current?._tag === "Span";
    current = current.parent._tag === "Some" ? current.parent.value : undefined
  ) {
    if (rolledBackSpan(current)) return true
  }
  return false
}
