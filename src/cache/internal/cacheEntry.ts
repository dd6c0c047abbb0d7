/**
 * A result that is there, with what must be known before it may be served.
 */
import type { Tier, Traced, CacheReason } from "../QueryCache.ts"

export interface CacheEntry {
  readonly value: unknown
  readonly level: Tier
  /** The state of what was read, from before the source was asked. */
  readonly stamp: string
  readonly storedAt: number
  readonly freshUntil: number
  readonly expiresAt: number
  /** Bytes, about. */
  readonly size: number
}

/** What the source has just answered. */
export const fresh = <A>(value: A, why: CacheReason): Traced<A> => ({
  value,
  level: "source",
  age: 0,
  stale: false,
  coalesced: false,
  reason: why
})

export const serve = (candidate: CacheEntry, now: number, why: CacheReason): Traced<unknown> => ({
  value: candidate.value,
  level: candidate.level,
  age: Math.max(0, now - candidate.storedAt),
  stale: now >= candidate.freshUntil,
  coalesced: false,
  reason: why
})
