/**
 * Four eviction policies: that of the cache and three alternatives. Each is a function that records an access and
 * returns whether it was a hit.
 */
import * as Eviction from "../src/cache/internal/s3Fifo.ts"
import { fnv1a } from "../src/internal/fnv1a.ts"

export type Policy = (room: number) => (key: string) => boolean

/** The policy of the cache, S3-FIFO. */
const own: Policy = (room) => {
  const cached = Eviction.make<Eviction.Node>(room, Infinity)
  return (key) => {
    const found = cached.get(key)
    if (found === undefined) cached.set({ key, size: 1, uses: 0 })
    else if (found.uses < Eviction.maxUses) found.uses++
    return found !== undefined
  }
}

const oldest = (cached: ReadonlyMap<string, unknown> | ReadonlySet<string>): string => cached.keys().next().value!

const lru: Policy = (room) => {
  const cached = new Set<string>()
  return (key) => {
    const found = cached.delete(key)
    cached.add(key)
    if (cached.size > room) cached.delete(oldest(cached))
    return found
  }
}

/**
 * Zhang et al., "SIEVE is simpler than LRU", NSDI 2024: a hand moves from the oldest entry to the newest and spares
 * used ones.
 */
const sieve: Policy = (room) => {
  interface Node {
    readonly key: string
    used: boolean
    newer: Node | undefined
    older: Node | undefined
  }
  const nodes = new Map<string, Node>()
  let newest: Node | undefined
  let oldestNode: Node | undefined
  let hand: Node | undefined

  const evict = () => {
    let node = hand ?? oldestNode
    while (node?.used === true) {
      node.used = false
      node = node.newer ?? oldestNode
    }
    if (node === undefined) return
    hand = node.newer
    nodes.delete(node.key)
    if (node.newer === undefined) newest = node.older
    else node.newer.older = node.older
    if (node.older === undefined) oldestNode = node.newer
    else node.older.newer = node.newer
  }

  return (key) => {
    const found = nodes.get(key)
    if (found !== undefined) {
      found.used = true
      return true
    }
    if (nodes.size >= room) evict()
    const node: Node = { key, used: false, newer: undefined, older: newest }
    if (newest !== undefined) newest.newer = node
    newest = node
    oldestNode ??= node
    nodes.set(key, node)
    return false
  }
}

/** Recent frequencies of keys: a count-min sketch of four rows whose counts are halved periodically. */
const sketch = (room: number) => {
  const width = 2 ** Math.ceil(Math.log2(room * 8))
  const rows = Array.from({ length: 4 }, () => new Uint8Array(width))
  const seeds = [0x9e3779b1, 0x85ebca6b, 0xc2b2ae35, 0x27d4eb2f]
  let additions = 0
  const at = (value: number, row: number) => {
    const mixed = Math.imul(value ^ (value >>> 15), seeds[row]!)
    return (mixed ^ (mixed >>> 13)) & (width - 1)
  }
  return {
    add: (key: string): void => {
      const value = Number.parseInt(fnv1a(key), 16)
      for (const [row, counts] of rows.entries()) {
        const slot = at(value, row)
        if (counts[slot]! < 15) counts[slot]!++
      }
      if (++additions < room * 10) return
      additions = 0
      for (const counts of rows) for (let slot = 0; slot < width; slot++) counts[slot]! >>= 1
    },
    estimate: (key: string): number => {
      const value = Number.parseInt(fnv1a(key), 16)
      return Math.min(...rows.map((counts, row) => counts[at(value, row)]!))
    }
  }
}

/** Einziger et al., "TinyLFU", ACM ToS 2017: a window of 1 %, and a main region that admits only more frequent keys. */
const wTinyLfu: Policy = (room) => {
  const windowRoom = Math.max(1, Math.round(room / 100))
  const protectedRoom = Math.floor((room - windowRoom) * 0.8)
  const seen = sketch(room)
  const window = new Set<string>()
  const probation = new Set<string>()
  const guarded = new Set<string>()

  const admit = (candidate: string) => {
    if (probation.size + guarded.size < room - windowRoom) {
      probation.add(candidate)
      return
    }
    const part = probation.size > 0 ? probation : guarded
    const victim = oldest(part)
    if (seen.estimate(candidate) <= seen.estimate(victim)) return
    part.delete(victim)
    probation.add(candidate)
  }

  return (key) => {
    seen.add(key)
    if (window.delete(key)) {
      window.add(key)
      return true
    }
    if (guarded.delete(key)) {
      guarded.add(key)
      return true
    }
    if (probation.delete(key)) {
      guarded.add(key)
      if (guarded.size > protectedRoom) {
        const last = oldest(guarded)
        guarded.delete(last)
        probation.add(last)
      }
      return true
    }
    window.add(key)
    if (window.size > windowRoom) {
      const last = oldest(window)
      window.delete(last)
      admit(last)
    }
    return false
  }
}

export const policies = { "S3-FIFO": own, LRU: lru, SIEVE: sieve, "W-TinyLFU": wTinyLfu }
