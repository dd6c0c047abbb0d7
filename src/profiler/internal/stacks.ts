/**
 * Which operations were open within which, and how long each was on the thread: what a flame graph is drawn from.
 */
import { overflowName } from "./operations.ts"

/** An operation within those that it was called by. */
export class Stack {
  readonly name: string
  readonly parent: Stack | undefined
  readonly children = new Map<string, Stack>()
  /** Time on the thread without what it called, in milliseconds. */
  self = 0

  constructor(name: string, parent: Stack | undefined) {
    this.name = name
    this.parent = parent
  }
}

export class Stacks {
  private readonly roots = new Map<string, Stack>()
  private size = 0
  private readonly max: number

  constructor(max: number) {
    this.max = max
  }

  /** Beyond the bound all that a stack calls is one. */
  child(parent: Stack | undefined, name: string): Stack {
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
    const walk = (stacks: Iterable<Stack>): void => {
      for (const stack of stacks) {
        found.push(stack)
        walk(stack.children.values())
      }
    }
    walk(this.roots.values())
    return found
  }

  clear(): void {
    this.roots.clear()
    this.size = 0
  }
}

/** The names from the outermost to the stack itself. */
export const path = (stack: Stack): ReadonlyArray<string> =>
  stack.parent === undefined ? [stack.name] : [...path(stack.parent), stack.name]
