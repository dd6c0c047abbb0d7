/**
 * What an entry watches and what a mutation changes, as texts of one key space.
 *
 * A change of a scope touches that scope and whoever reads the whole table; a change of a whole table touches whoever
 * reads the table or any scope of it. So that two sets of texts can be compared without looking at the scopes, a table
 * stands under two names: `table:` is changed by whoever changes all of it, `any:` by whoever changes anything in it.
 * All of them begin with the namespace, so that two databases can share a store.
 */
import * as Dependency from "../../query/Dependency.ts"

export interface InvalidationKeys {
  /** What every result watches: nothing, or what stands for all that other hosts may change unheard. */
  readonly always: ReadonlyArray<string>
  /** What to watch for results that were read from these. */
  readonly watched: (dependencies: ReadonlyArray<Dependency.Dependency>) => Array<string>
  /** What is changed by a write to these. */
  readonly changed: (dependencies: ReadonlyArray<Dependency.Dependency>) => Array<string>
  /** What stands for one entry, whatever it was read from. */
  readonly entry: (key: string) => string
  /** What stands for all entries with a tag. */
  readonly tag: (tag: string) => string
}

export const make = (namespace: string, follows: boolean): InvalidationKeys => {
  const prefix = namespace === "" ? "" : `${JSON.stringify(namespace)} `
  const scope = (dependency: Dependency.Dependency): string => `${prefix}scope:${Dependency.toKey(dependency)}`
  const table = (name: string): string => `${prefix}table:${name}`
  const any = (name: string): string => `${prefix}any:${name}`
  return {
    always: follows ? [`${prefix}hosts`] : [],
    watched: (dependencies) =>
      dependencies.flatMap((dependency) =>
        dependency.scope === undefined ? [any(dependency.table)] : [scope(dependency), table(dependency.table)]
      ),
    changed: (dependencies) => [
      ...new Set(
        dependencies.flatMap((dependency) =>
          dependency.scope === undefined
            ? [table(dependency.table), any(dependency.table)]
            : [scope(dependency), any(dependency.table)]
        )
      )
    ],
    entry: (key) => `${prefix}entry:${key}`,
    tag: (tag) => `${prefix}tag:${tag}`
  }
}
