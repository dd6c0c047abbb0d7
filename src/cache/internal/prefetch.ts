/**
 * Learns which reads follow which, so that the next one can be loaded before it is asked for.
 *
 * Reads of one trace, or of one fiber where nothing is traced, are taken for a sequence. A read is expected after
 * another one when it followed that at least twice, and at least every second time.
 */
import type { CacheRequest } from "./cachedQuery.ts"

/** How many sequences, and how many reads, are remembered. */
const maxSequences = 256
const maxReads = 512
/** How many followers of a read are counted. */
const maxFollowers = 4

const leastTimes = 2
const leastShare = 0.5

interface Follower {
  readonly asked: CacheRequest<any, any>
  times: number
}

interface Seen {
  times: number
  readonly followers: Map<string, Follower>
}

export interface Prefetch {
  /** Notes a read of a sequence, and tells which one is expected to come next. */
  readonly observe: (sequence: string, asked: CacheRequest<any, any>) => CacheRequest<any, any> | undefined
}

/** Sets anew, as the newest, and takes out the oldest above a number. */
const touch = <V>(map: Map<string, V>, key: string, value: V, most: number): void => {
  map.delete(key)
  map.set(key, value)
  if (map.size > most) map.delete(map.keys().next().value!)
}

const count = (followers: Map<string, Follower>, asked: CacheRequest<any, any>): void => {
  const follower = followers.get(asked.key)
  if (follower !== undefined) {
    follower.times++
    return
  }
  if (followers.size >= maxFollowers) {
    // What has come once makes room; what comes often is worn down by what is new, a step at a time.
    for (const [key, { times }] of followers) if (times <= 1) followers.delete(key)
    for (const other of followers.values()) other.times--
    if (followers.size >= maxFollowers) return
  }
  followers.set(asked.key, { asked, times: 1 })
}

export const make = (): Prefetch => {
  const lasts = new Map<string, string>()
  const reads = new Map<string, Seen>()

  return {
    observe: (sequence, asked) => {
      const last = lasts.get(sequence)
      touch(lasts, sequence, asked.key, maxSequences)
      const before = last === undefined || last === asked.key ? undefined : reads.get(last)
      if (before !== undefined) count(before.followers, asked)
      const seen = reads.get(asked.key) ?? { times: 0, followers: new Map<string, Follower>() }
      seen.times++
      touch(reads, asked.key, seen, maxReads)
      let best: Follower | undefined
      for (const follower of seen.followers.values()) {
        if (best === undefined || follower.times > best.times) best = follower
      }
      // The read itself is the last of those counted, and what follows it is not known yet.
      const chances = seen.times - 1
      return best !== undefined && best.times >= leastTimes && best.times >= chances * leastShare
        ? best.asked
        : undefined
    }
  }
}
