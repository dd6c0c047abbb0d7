/**
 * Which operations were open within which, and how long each was on the thread: what a flame graph is drawn from.
 */
import { overflowName } from "./operations.ts"

/** Operations within more others than these are one, or the paths of a deep recursion would grow with its square. */
export const maxDepth = 64

/** An operation within those that it was called by. */
export class Stack {
  readonly name: string
  readonly parent: Stack | undefined
  readonly depth: number
  readonly children = new Map<string, Stack>()
  /** Time on the thread without what it called, in milliseconds. */
  self = 0

  constructor(name: string, parent: Stack | undefined) {
    this.name = name
    this.parent = parent
    this.depth = parent === undefined ? 1 : parent.depth + 1
  }
}

export class Stacks {
  private readonly roots = new Map<string, Stack>()
  private size = 0
  private readonly max: number

  constructor(max: number) {
    this.max = max
  }

  /** Beyond the bounds all that a stack calls is one. */
  child(parent: Stack | undefined, called: string): Stack {
    if (parent !== undefined && parent.depth > maxDepth) return parent
    const name = parent?.depth === maxDepth ? overflowName : called
    const among = parent?.children ?? this.roots
    const known = among.get(name)
    if (known !== undefined) return known
    const full = this.size >= this.max
    // A stack of what was one already stays that one: depth is no way around the bound.
    if (full && parent?.name === overflowName) return parent
    const others = full ? among.get(overflowName) : undefined
    if (others !== undefined) return others
    const stack = new Stack(full ? overflowName : name, parent)
    this.size++
    among.set(stack.name, stack)
    return stack
  }

  all(): ReadonlyArray<Stack> {
    const found: Array<Stack> = []
    const waiting = [...this.roots.values()]
    for (let stack = waiting.pop(); stack !== undefined; stack = waiting.pop()) {
      found.push(stack)
      for (const child of stack.children.values()) waiting.push(child)
    }
    return found
  }

  clear(): void {
    this.roots.clear()
    this.size = 0
  }
}

/** The names from the outermost to the stack itself. */
export const path = (stack: Stack): ReadonlyArray<string> => {
  const names: Array<string> = []
  for (let at: Stack | undefined = stack; at !== undefined; at = at.parent) names.push(at.name)
  return names.toReversed()
}
