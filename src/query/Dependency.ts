/**
 * Identifies the data that a query reads or a mutation changes.
 *
 * Queries and mutations share one key space, so that a write names exactly the reads it invalidates: a table and an
 * optional scope within it, such as a project id. A dependency without a scope covers the whole table.
 *
 * @since 0.1.0
 */

/**
 * A table, or one scope within it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Dependency {
  readonly table: string
  readonly scope?: string | number | undefined
}

/**
 * Constructs a `Dependency` on a whole table, or on one scope of it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (table: string, scope?: string | number): Dependency =>
  scope === undefined ? { table } : { table, scope }

/**
 * Whether a change of `changed` can affect a read of `read`: the tables are equal, and the scopes are equal or one side
 * covers the whole table.
 *
 * @category predicates
 * @since 0.1.0
 */
export const affects = (changed: Dependency, read: Dependency): boolean =>
  changed.table === read.table &&
  (changed.scope === undefined || read.scope === undefined || changed.scope === read.scope)

/**
 * Encodes the dependency as text, for keys and logs. Scopes of different types never share a key: scope `7` is
 * `events#7`, scope `"7"` is `events#"7"`.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toKey = (self: Dependency): string =>
  self.scope === undefined ? self.table : `${self.table}#${JSON.stringify(self.scope)}`
