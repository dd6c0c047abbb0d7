/** What the cache derives from a query once: its settings, counters, keys and codec. */
import type * as Duration from "effect/Duration"
import * as Metric from "effect/Metric"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Metrics } from "../../internal/metrics.ts"
import type { Query } from "../../query/Query.ts"
import * as CacheKey from "./cacheKey.ts"
import type { InvalidationKeys } from "./invalidationTracker.ts"
import * as Counters from "./counters.ts"
import type { QuerySettings, Settings } from "./settings.ts"

export interface CachedQuery<I, A> extends Omit<QuerySettings, "timeToLiveOf" | "tags"> {
  readonly name: string
  readonly timeToLiveOf: ((result: A, input: I) => Duration.Input | undefined) | undefined
  readonly tags: (input: I) => ReadonlyArray<string>
  readonly counters: Counters.Counters
  readonly loadTime: typeof Counters.loadTime
  /** The average duration of a load in milliseconds; `undefined` before the first one. */
  loadMs: number | undefined
  /** The key in memory; `undefined` if the input has no canonical text. */
  readonly key: (input: I) => string | undefined
  /** The key in the store; `undefined` if the result schema has no fingerprint. */
  readonly storeKey: (key: string) => string | undefined
  readonly encode: (result: A) => string | undefined
  readonly decode: (text: string) => A
}

/** One read: the query, its input, and its key in memory. */
export interface CacheRequest<I, A> {
  readonly cached: CachedQuery<I, A>
  readonly query: Query<I, A>
  readonly input: I
  readonly key: string
}

export interface CachedQueries {
  readonly of: <I, A>(query: Query<I, A>) => CachedQuery<I, A>
  /** `undefined` if the result is not cacheable: its input has no key, or its dependencies can't be determined. */
  readonly request: <I, A>(query: Query<I, A>, input: I) => CacheRequest<I, A> | undefined
  readonly counters: ReadonlyMap<string, Counters.Counters>
}

/** The maximum number of names with their own counters; further ones share `(others)`. */
export const maxNames = 1_000

const noTags: ReadonlyArray<string> = []

/** The keys that a result watches: its entry, its dependencies and its tags. */
export const watchedBy = <I, A>(
  keys: InvalidationKeys,
  { cached, input, key, query }: CacheRequest<I, A>,
  storeKey: string | undefined
) => [
  ...keys.always,
  keys.entry(storeKey ?? key),
  ...keys.watched(query.dependencies(input)),
  ...cached.tags(input).map(keys.tag)
]

const orUndefined = <A>(attempt: () => A | undefined): A | undefined => Result.getOrUndefined(Result.try(attempt))

export const make = (options: {
  readonly settings: Settings
  readonly metrics: Metrics
  /** Receives each name that more than one `Query` value has, once. */
  readonly duplicate: (name: string) => void
}): CachedQueries => {
  const { duplicate, metrics, settings } = options
  const known = new WeakMap<object, CachedQuery<any, any>>()
  const counters = new Map<string, Counters.Counters>()
  /** The number of `Query` values by name, up to the limit. */
  const values = new Map<string, number>()
  let ordinals = 0

  const countersOf = (name: string): Counters.Counters => {
    const label = counters.has(name) || counters.size < maxNames ? name : "(others)"
    let found = counters.get(label)
    if (found === undefined) {
      counters.set(label, (found = Counters.zeroCounters()))
      Counters.register(metrics, label, found)
    }
    return found
  }

  const checkName = (name: string): void => {
    const count = (values.get(name) ?? 0) + 1
    if (count === 2) duplicate(name)
    if (count > 1 || values.size < maxNames) values.set(name, count)
  }

  const make = <I, A>(query: Query<I, A>): CachedQuery<I, A> => {
    const { tags, timeToLiveOf, ...limits } = settings.ofQuery(query.name, query.timeToLive)
    const ordinal = ++ordinals
    const ordinalLength = String(ordinal).length
    const encodeInput = Schema.encodeUnknownSync(query.input)
    let fingerprint: { readonly value: string | undefined } | undefined
    checkName(query.name)
    return {
      ...limits,
      ...CacheKey.resultCodec(query.result),
      name: query.name,
      timeToLiveOf: timeToLiveOf as CachedQuery<I, A>["timeToLiveOf"],
      tags: (tags as CachedQuery<I, A>["tags"] | undefined) ?? (() => noTags),
      counters: countersOf(query.name),
      loadTime: Metric.withAttributes(Counters.loadTime, { query: query.name }),
      loadMs: undefined,
      key: (input) =>
        orUndefined(() => {
          const plain = CacheKey.canonical(input)
          if (plain !== undefined) return `${ordinal}|${plain}`
          const encoded = CacheKey.canonical(encodeInput(input))
          return encoded === undefined ? undefined : `${ordinal}!${encoded}`
        }),
      storeKey: (key) => {
        fingerprint ??= { value: CacheKey.fingerprint(query.result) }
        return fingerprint.value === undefined
          ? undefined
          : CacheKey.hash(settings.namespace, settings.version, query.name, fingerprint.value, key.slice(ordinalLength))
      }
    }
  }

  const of: CachedQueries["of"] = (query) => {
    let cached = known.get(query)
    if (cached === undefined) known.set(query, (cached = make(query)))
    return cached
  }

  return {
    of,
    request: (query, input) => {
      const cached = of(query)
      const key = cached.isCached ? cached.key(input) : undefined
      if (key === undefined) return undefined
      const isTracked = orUndefined(() => {
        query.dependencies(input)
        cached.tags(input)
        return true
      })
      return isTracked === undefined ? undefined : { cached, query, input, key }
    },
    counters
  }
}
