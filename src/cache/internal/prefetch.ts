/**
 * Learns which reads follow each other, so that the next one can be loaded ahead.
 *
 * A sequence is the reads of one trace, or of one fiber without a trace. A read is expected after another one if it
 * followed it at least twice, and at least every second time.
 */
import type { CacheRequest } from "./cachedQuery.ts"

const maxSequences = 256
const maxReads = 512
const maxFollowers = 4

/** The minimum occurrences of an expected follower, and its minimum share. */
const minTimes = 2
const minShare = 0.5

interface Follower {
  readonly request: CacheRequest<any, any>
  times: number
}

interface ReadCount {
  times: number
  readonly followers: Map<string, Follower>
}

export interface Prefetch {
  /** Records a read of a sequence and returns the expected next one. */
  readonly observe: (sequence: string, request: CacheRequest<any, any>) => CacheRequest<any, any> | undefined
}

/** Sets the newest entry and removes the oldest one beyond the maximum. */
const touch = <V>(map: Map<string, V>, key: string, value: V, max: number): void => {
  map.delete(key)
  map.set(key, value)
  if (map.size > max) map.delete(map.keys().next().value!)
}

const count = (followers: Map<string, Follower>, request: CacheRequest<any, any>): void => {
  const follower = followers.get(request.key)
  if (follower !== undefined) {
    follower.times++
    return
  }
  if (followers.size >= maxFollowers) {
    // Followers seen once are removed; frequent ones are decremented by new ones.
    for (const [key, { times }] of followers) if (times <= 1) followers.delete(key)
    for (const other of followers.values()) other.times--
    if (followers.size >= maxFollowers) return
  }
  followers.set(request.key, { request, times: 1 })
}

export const make = (): Prefetch => {
  const lasts = new Map<string, string>()
  const reads = new Map<string, ReadCount>()

  return {
    observe: (sequence, request) => {
      const last = lasts.get(sequence)
      touch(lasts, sequence, request.key, maxSequences)
      const before = last === undefined || last === request.key ? undefined : reads.get(last)
      if (before !== undefined) count(before.followers, request)
      const seen = reads.get(request.key) ?? { times: 0, followers: new Map<string, Follower>() }
      seen.times++
      touch(reads, request.key, seen, maxReads)
      let best: Follower | undefined
      for (const follower of seen.followers.values()) {
        if (best === undefined || follower.times > best.times) best = follower
      }
      // The current occurrence has no follower yet.
      const chances = seen.times - 1
      return best !== undefined && best.times >= minTimes && best.times >= chances * minShare ? best.request : undefined
    }
  }
}
