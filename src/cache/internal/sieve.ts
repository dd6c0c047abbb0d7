/**
 * The first level: a map with bounds that evicts by SIEVE.
 *
 * A hit sets a bit and moves nothing. To make room, a hand goes from the oldest entry to the newest, takes the bit from
 * those that were used since it last came by, and removes the first that was not. What is read once goes soon; what is
 * read again stays.
 */

export interface Node {
  readonly key: string
  readonly size: number
  used: boolean
  newer: this | undefined
  older: this | undefined
}

export interface Sieve<N extends Node> {
  /** Finds without marking as used. */
  readonly get: (key: string) => N | undefined
  /** Adds or replaces, and returns what had to go for it. What is larger than all the room is not added. */
  readonly set: (node: N) => ReadonlyArray<N>
  readonly remove: (node: N) => boolean
  readonly nodes: () => Iterable<N>
  readonly bytes: () => number
  readonly count: () => number
}

export const make = <N extends Node>(maxEntries: number, maxBytes: number): Sieve<N> => {
  const nodes = new Map<string, N>()
  let newest: N | undefined
  let oldest: N | undefined
  let hand: N | undefined
  let bytes = 0

  const remove = (node: N): boolean => {
    if (nodes.get(node.key) !== node) return false
    nodes.delete(node.key)
    bytes -= node.size
    if (hand === node) hand = node.newer
    if (node.newer === undefined) newest = node.older
    else node.newer.older = node.older
    if (node.older === undefined) oldest = node.newer
    else node.older.newer = node.newer
    node.newer = undefined
    node.older = undefined
    return true
  }

  const victim = (): N | undefined => {
    let node = hand ?? oldest
    while (node !== undefined && node.used) {
      node.used = false
      node = node.newer ?? oldest
    }
    hand = node?.newer
    return node
  }

  const set = (node: N): ReadonlyArray<N> => {
    const replaced = nodes.get(node.key)
    if (replaced !== undefined) remove(replaced)
    const gone: Array<N> = replaced === undefined ? [] : [replaced]
    if (node.size > maxBytes) return gone
    while (nodes.size >= maxEntries || bytes + node.size > maxBytes) {
      const last = victim()
      if (last === undefined) break
      remove(last)
      gone.push(last)
    }
    node.older = newest
    node.newer = undefined
    if (newest !== undefined) newest.newer = node
    newest = node
    oldest ??= node
    nodes.set(node.key, node)
    bytes += node.size
    return gone
  }

  return {
    get: (key) => nodes.get(key),
    set,
    remove,
    nodes: () => nodes.values(),
    bytes: () => bytes,
    count: () => nodes.size
  }
}
