/** The call tree: which operations ran within which, with their thread times. Flame graphs are drawn from it. */
import { overflowName } from "./operations.ts"

/** Deeper operations are merged, because the paths of a deep recursion would grow with the square of its depth. */
export const maxDepth = 64

/** An operation within its callers. */
export class CallPath {
  readonly name: string
  readonly parent: CallPath | undefined
  readonly depth: number
  readonly children = new Map<string, CallPath>()
  /** Thread time without callees, in milliseconds. */
  self = 0

  constructor(name: string, parent: CallPath | undefined) {
    this.name = name
    this.parent = parent
    this.depth = parent === undefined ? 1 : parent.depth + 1
  }
}

export class CallTree {
  private readonly roots = new Map<string, CallPath>()
  private size = 0
  private readonly max: number

  constructor(max: number) {
    this.max = max
  }

  /** Returns the child path; beyond the bounds, all children are merged into one. */
  child(parent: CallPath | undefined, called: string): CallPath {
    if (parent !== undefined && parent.depth > maxDepth) return parent
    const name = parent?.depth === maxDepth ? overflowName : called
    const siblings = parent?.children ?? this.roots
    const known = siblings.get(name)
    if (known !== undefined) return known
    const full = this.size >= this.max
    // Children of a merged path stay in it, so that depth does not bypass the bound.
    if (full && parent?.name === overflowName) return parent
    const others = full ? siblings.get(overflowName) : undefined
    if (others !== undefined) return others
    const callPath = new CallPath(full ? overflowName : name, parent)
    this.size++
    siblings.set(callPath.name, callPath)
    return callPath
  }

  all(): ReadonlyArray<CallPath> {
    const found: Array<CallPath> = []
    const waiting = [...this.roots.values()]
    for (let callPath = waiting.pop(); callPath !== undefined; callPath = waiting.pop()) {
      found.push(callPath)
      for (const child of callPath.children.values()) waiting.push(child)
    }
    return found
  }

  clear(): void {
    this.roots.clear()
    this.size = 0
  }
}

/** The names from the outermost operation to this one. */
export const path = (callPath: CallPath): ReadonlyArray<string> => {
  const names: Array<string> = []
  for (let at: CallPath | undefined = callPath; at !== undefined; at = at.parent) names.push(at.name)
  return names.toReversed()
}
