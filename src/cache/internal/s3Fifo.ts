/**
 * The first level: a map with bounds that evicts by S3-FIFO (Yang et al., "FIFO queues are all you need for cache
 * eviction", SOSP 2023).
 *
 * What is new goes into a small queue, a tenth of the room. At its end it goes on into the main queue if it was used in
 * the meantime, and else leaves; what comes back soon after that goes into the main queue at once. At the end of the
 * main queue, what was used goes to its beginning again. A hit counts up to three and moves nothing.
 */
import { fnv1a } from "../../internal/fnv1a.ts"

export interface Node {
  readonly key: string
  readonly size: number
  /** How often it was used since it was last looked at, up to `maxUses`. */
  uses: number
}

export const maxUses = 3

export interface S3Fifo<N extends Node> {
  /** Finds without counting a use. */
  readonly get: (key: string) => N | undefined
  /** Adds or replaces, and returns what had to go for it. What is larger than all the room is not added. */
  readonly set: (node: N) => ReadonlyArray<N>
  readonly remove: (node: N) => boolean
  readonly nodes: () => Iterable<N>
  readonly bytes: () => number
  readonly count: () => number
}

/** The part of the room that is for what is new. */
const smallPart = 0.1

/** A queue by age. Maps keep the order in which keys came in. */
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

  /** Takes the oldest one out. */
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
  /** Hashes of keys that left the small queue unused, the oldest first. */
  const ghosts = new Set<string>()

  const find = (key: string): N | undefined => main.get(key) ?? small.get(key)

  const isSmallFull = (): boolean =>
    small.count >= Math.max(1, maxEntries * smallPart) || small.bytes > maxBytes * smallPart

  const remember = (key: string): void => {
    ghosts.add(fnv1a(key))
    if (ghosts.size > maxEntries) ghosts.delete(ghosts.values().next().value!)
  }

  /** One step: something goes, moves on, or loses a use, so that in the end something goes. */
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
    const gone: Array<N> = last === undefined ? [] : [last]
    if (node.size > maxBytes) return gone
    while (
      small.count + main.count > 0 &&
      (small.count + main.count >= maxEntries || small.bytes + main.bytes + node.size > maxBytes)
    ) {
      const victim = step()
      if (victim !== undefined) gone.push(victim)
    }
    const isMain = isKnown || (last === undefined && ghosts.delete(fnv1a(node.key)))
    ;(isMain ? main : small).add(node)
    return gone
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
