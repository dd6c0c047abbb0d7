/**
 * What the cache has worked out about a query, once.
 */
import * as Duration from "effect/Duration"
import * as Metric from "effect/Metric"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Query } from "../../query/Query.ts"
import type { Policy, QueryCacheOptions } from "../QueryCache.ts"
import * as Canonical from "./canonicalInput.ts"
import * as Fingerprint from "./cacheKey.ts"
import * as Metrics from "./metrics.ts"
import * as NegativeZero from "./negativeZero.ts"
import type { InvalidationKeys } from "./invalidationKeys.ts"

export interface Counters {
  memoryHits: number
  storeHits: number
  misses: number
  loads: number
  loadFailures: number
  coalesced: number
  stale: number
  refused: number
  bypassed: number
}

export interface CachedQuery<I, A> {
  readonly name: string
  readonly ordinal: number
  readonly cached: boolean
  readonly memoryMs: number
  readonly storeMs: number
  readonly graceMs: number
  readonly softMs: number
  readonly hardMs: number
  readonly backoffMs: number
  readonly eager: number
  readonly ofResult: ((result: any, input: any) => Duration.Input | undefined) | undefined
  readonly tags: ((input: any) => ReadonlyArray<string>) | undefined
  readonly counters: Counters
  /** Times its loads. */
  readonly loadTime: typeof Metrics.loadTime
  /** How long a load takes, about, in milliseconds; `undefined` while none is known. */
  loadMs: number | undefined
  /** The key in memory; `undefined` where the input has none. */
  readonly key: (input: I) => string | undefined
  /** The key in the store; `undefined` where the result can't be told from another one's. */
  readonly storeKey: (key: string) => string | undefined
  readonly encode: (result: A) => string | undefined
  readonly decode: (text: string) => A
}

/** One read: the query, its input, and its key in memory. */
export interface CacheRequest<I, A> {
  readonly plan: CachedQuery<I, A>
  readonly query: Query<I, A>
  readonly input: I
  readonly key: string
}

/** As long as anything may be kept, and as good as no limit, in milliseconds. */
export const unlimited = 400 * 24 * 60 * 60 * 1_000

const millis = (input: Duration.Input | undefined, absent: number): number => {
  if (input === undefined) return absent
  const ms = Duration.toMillis(input)
  return Number.isNaN(ms) ? absent : Math.min(Math.max(ms, 0), unlimited)
}

const counters = (): Counters => ({
  memoryHits: 0,
  storeHits: 0,
  misses: 0,
  loads: 0,
  loadFailures: 0,
  coalesced: 0,
  stale: 0,
  refused: 0,
  bypassed: 0
})

/** Names are counted up to here; the rest share one. */
export const maxNames = 1_000

export interface CachedQueries {
  readonly of: <I, A>(query: Query<I, A>) => CachedQuery<I, A>
  /** `undefined` where a result of this input is not cached: it has no key, or no dependencies that can be named. */
  readonly asked: <I, A>(query: Query<I, A>, input: I) => CacheRequest<I, A> | undefined
  readonly counters: ReadonlyMap<string, Counters>
}

/** What a result watches: the entry itself, what it is read from, and its tags. */
export const watchedBy = <I, A>(
  watch: InvalidationKeys,
  { input, key, plan, query }: CacheRequest<I, A>,
  storeKey: string | undefined
) => [
  ...watch.always,
  watch.entry(storeKey ?? key),
  ...watch.watched(query.dependencies(input)),
  ...(plan.tags?.(input) ?? []).map(watch.tag)
]

const orUndefined = <A>(attempt: () => A | undefined): A | undefined => Result.getOrUndefined(Result.try(attempt))

export const make = (options: QueryCacheOptions, named: (name: string, counters: Counters) => void): CachedQueries => {
  const plans = new WeakMap<object, CachedQuery<any, any>>()
  const byName = new Map<string, Counters>()
  let ordinals = 0

  const countersOf = (name: string): Counters => {
    const label = byName.has(name) || byName.size < maxNames ? name : "(others)"
    let found = byName.get(label)
    if (found === undefined) {
      byName.set(label, (found = counters()))
      named(label, found)
    }
    return found
  }

  const make = <I, A>(query: Query<I, A>): CachedQuery<I, A> => {
    const ordinal = ++ordinals
    const policy: Policy = options.policies?.[query.name] ?? {}
    const own = millis(policy.timeToLive ?? query.timeToLive, unlimited)
    const memoryMs = Math.min(own, millis(options.memoryTimeToLive, 5 * 60_000))
    const storeMs = Math.min(own, millis(options.storeTimeToLive, 60 * 60_000))
    const codec = Schema.fromJsonString(Schema.toCodecJson(query.result)) as Schema.Codec<A, string>
    const encodeInput = Schema.encodeUnknownSync(query.input)
    let shape: string | undefined
    let shaped = false
    let decode: ((text: string) => A) | undefined
    let encode: ((result: A) => string) | undefined
    return {
      name: query.name,
      ordinal,
      cached: own > 0,
      memoryMs,
      storeMs,
      graceMs: millis(policy.grace ?? options.grace, 0),
      softMs: millis(policy.softTimeout ?? options.softTimeout, unlimited),
      hardMs: millis(policy.hardTimeout ?? options.hardTimeout, unlimited),
      backoffMs: millis(policy.backoff ?? options.backoff, 10_000),
      eager: Math.min(Math.max(policy.earlyRefresh ?? options.earlyRefresh ?? 1, 0.01), 1),
      ofResult: policy.timeToLiveOf,
      tags: policy.tags,
      counters: countersOf(query.name),
      loadTime: Metric.withAttributes(Metrics.loadTime, { query: query.name }),
      loadMs: undefined,
      key: (input) =>
        orUndefined(() => {
          const plain = Canonical.canonical(input)
          if (plain !== undefined) return `${ordinal}|${plain}`
          const encoded = Canonical.canonical(encodeInput(input))
          return encoded === undefined ? undefined : `${ordinal}!${encoded}`
        }),
      storeKey: (key) => {
        if (!shaped) {
          shape = Fingerprint.fingerprint(query.result)
          shaped = true
        }
        const at = String(ordinal).length
        return shape === undefined
          ? undefined
          : Fingerprint.hash(options.namespace ?? "", options.version ?? "", query.name, shape, key.slice(at))
      },
      encode: (result) => {
        encode ??= Schema.encodeSync(codec)
        const text = encode(result)
        return NegativeZero.mayBeIn(text) && NegativeZero.isIn(result) ? undefined : text
      },
      decode: (text) => {
        decode ??= Schema.decodeSync(codec)
        return decode(text)
      }
    }
  }

  const of: CachedQueries["of"] = (query) => {
    let plan = plans.get(query)
    if (plan === undefined) plans.set(query, (plan = make(query)))
    return plan
  }

  return {
    of,
    asked: (query, input) => {
      const plan = of(query)
      const key = plan.cached ? plan.key(input) : undefined
      if (key === undefined) return undefined
      // Whoever can't name what it reads is not to be kept: the executor refuses it, or it is loaded each time.
      const named = orUndefined(() => {
        query.dependencies(input)
        plan.tags?.(input)
        return true
      })
      return named === undefined ? undefined : { plan, query, input, key }
    },
    counters: byName
  }
}
