/**
 * A bounded map with S3-FIFO eviction (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023).
 *
 * A new node enters a small queue, a tenth of the capacity. At its end a used node moves to the main queue and an unused
 * one is evicted; a node that returns soon after that enters the main queue directly. At the end of the main queue a
 * used node is reinserted. A hit increments a counter up to three and moves nothing.
 */
import { fnv1a } from "../../internal/fnv1a.ts"

export interface Node {
  readonly key: string
  readonly size: number
  /** The uses since the last eviction step on it, up to `maxUses`. */
  uses: number
}

export const maxUses = 3

export interface S3Fifo<N extends Node> {
  /** Does not count a use. */
  readonly get: (key: string) => N | undefined
  /** Adds or replaces a node and returns the removed ones. A node beyond the capacity is not added. */
  readonly set: (node: N) => ReadonlyArray<N>
  readonly remove: (node: N) => boolean
  readonly nodes: () => Iterable<N>
  readonly bytes: () => number
  readonly count: () => number
}

const smallShare = 0.1

/** A FIFO queue. A Map iterates in insertion order. */
class Queue<N extends Node> {
  private readonly nodes = new Map<string, N>()
  bytes = 0

  get count(): number {
    return this.nodes.size
  }

  get(key: string): N | undefined {
    return this.nodes.get(key)
  }

  add(node: N): void {
    this.nodes.set(node.key, node)
    this.bytes += node.size
  }

  remove(node: N): boolean {
    if (this.nodes.get(node.key) !== node) return false
    this.nodes.delete(node.key)
    this.bytes -= node.size
    return true
  }

  shift(): N | undefined {
    const node = this.nodes.values().next().value
    if (node !== undefined) this.remove(node)
    return node
  }

  all(): Iterable<N> {
    return this.nodes.values()
  }
}

export const make = <N extends Node>(maxEntries: number, maxBytes: number): S3Fifo<N> => {
  const small = new Queue<N>()
  const main = new Queue<N>()
  /** Hashes of keys evicted from the small queue, the oldest first. */
  const ghosts = new Set<string>()

  const find = (key: string): N | undefined => main.get(key) ?? small.get(key)

  const isSmallFull = (): boolean =>
    small.count >= Math.max(1, maxEntries * smallShare) || small.bytes > maxBytes * smallShare

  const remember = (key: string): void => {
    ghosts.add(fnv1a(key))
    if (ghosts.size > maxEntries) ghosts.delete(ghosts.values().next().value!)
  }

  /** One step: evicts a node, moves it, or decrements its uses, so that repeated steps evict one. */
  const step = (): N | undefined => {
    const isSmall = small.count > 0 && (isSmallFull() || main.count === 0)
    const node = (isSmall ? small : main).shift()
    if (node === undefined) return undefined
    if (node.uses === 0) {
      if (isSmall) remember(node.key)
      return node
    }
    node.uses = isSmall ? 0 : node.uses - 1
    main.add(node)
    return undefined
  }

  const set = (node: N): ReadonlyArray<N> => {
    const last = find(node.key)
    const isKnown = last !== undefined && main.remove(last)
    if (last !== undefined && !isKnown) small.remove(last)
    const removed: Array<N> = last === undefined ? [] : [last]
    if (node.size > maxBytes) return removed
    while (
      small.count + main.count > 0 &&
      (small.count + main.count >= maxEntries || small.bytes + main.bytes + node.size > maxBytes)
    ) {
      const victim = step()
      if (victim !== undefined) removed.push(victim)
    }
    const isMain = isKnown || (last === undefined && ghosts.delete(fnv1a(node.key)))
    ;(isMain ? main : small).add(node)
    return removed
  }

  return {
    get: find,
    set,
    remove: (node) => main.remove(node) || small.remove(node),
    nodes: function* () {
      yield* small.all()
      yield* main.all()
    },
    bytes: () => small.bytes + main.bytes,
    count: () => small.count + main.count
  }
}
