/**
 * What an entry watches and what a mutation changes, as texts of one key space.
 *
 * A change of a scope touches that scope and whoever reads the whole table; a change of a whole table touches whoever
 * reads the table or any scope of it. So that two sets of texts can be compared without looking at the scopes, a table
 * stands under two names: `table:` is changed by whoever changes all of it, `any:` by whoever changes anything in it.
 */
import * as Dependency from "../../query/Dependency.ts"

const scopeKey = (dependency: Dependency.Dependency): string => `scope:${Dependency.toKey(dependency)}`
const tableKey = (table: string): string => `table:${table}`
const anyKey = (table: string): string => `any:${table}`

/** What to watch for results that were read from these. */
export const watched = (dependencies: ReadonlyArray<Dependency.Dependency>): Array<string> =>
  dependencies.flatMap((dependency) =>
    dependency.scope === undefined ? [anyKey(dependency.table)] : [scopeKey(dependency), tableKey(dependency.table)]
  )

/** What is changed by a write to these. */
export const changed = (dependencies: ReadonlyArray<Dependency.Dependency>): Array<string> => [
  ...new Set(
    dependencies.flatMap((dependency) =>
      dependency.scope === undefined
        ? [tableKey(dependency.table), anyKey(dependency.table)]
        : [scopeKey(dependency), anyKey(dependency.table)]
    )
  )
]

/** What stands for one entry, whatever it was read from. */
export const entryKey = (key: string): string => `entry:${key}`

/** What stands for all entries with a tag. */
export const tagKey = (tag: string): string => `tag:${tag}`
