/**
 * What is kept of each operation: one record a name, and a bounded number of names.
 */
import * as Histogram from "./histogram.ts"

/** What a name is the name of: of what was tracked, of a span, of a query or a mutation of the `QueryExecutor`. */
export type Kind = "operation" | "span" | "query" | "mutation"

export type Outcome = "success" | "failure" | "defect" | "interrupted"

/** What the process did while sampled calls were open. */
export class Sampled {
  samples = 0
  /** CPU time in milliseconds. */
  user = 0
  system = 0
  /** Of the samples, those during which nothing else was open: these are the operation's own. */
  alone = 0
  aloneCpu = 0
  /** Bytes of the heap; samples that a garbage collection made worthless are not among them. */
  memorySamples = 0
  memory = 0
  memoryMost = 0
  memoryInvalid = 0
  /** The highest resident memory of the process, in bytes, while the operation alone was open. */
  peak = 0
  peaks = 0
}

/** How an operation's fibers held the thread. */
export class Sliced {
  /** A call's time on the thread with what it called and forked, in milliseconds. */
  readonly active = Histogram.make()
  /** The rest of its wall time. */
  readonly waiting = Histogram.make()
  /** Time on the thread without what was called, in milliseconds; of calls that have not ended as well. */
  self = 0
  /** CPU time of the process during that, in milliseconds. */
  selfCpu = 0
  /** The CPU time of ended calls with what they called and forked, in milliseconds. */
  activeCpu = 0
}

export class Operation {
  readonly outcomes: Record<Outcome, number> = { success: 0, failure: 0, defect: 0, interrupted: 0 }
  /** In milliseconds. */
  readonly wall = Histogram.make()
  open = 0
  openMost = 0
  /** What may still be spent on samples, in milliseconds; below zero none is taken. */
  credit = 0
  sampled: Sampled | undefined = undefined
  sliced: Sliced | undefined = undefined
  /** How often it ran many times under one parent, and the most times under one. */
  repeatedUnder = 0
  repeatedMost = 0

  readonly kind: Kind
  readonly name: string

  constructor(kind: Kind, name: string) {
    this.kind = kind
    this.name = name
  }
}

/** What calls of names beyond the bound are counted as. */
export const overflowName = "(others)"

/** Longer names are cut, in UTF-16 units. */
export const maxNameLength = 200

/** A name, within its bound. */
export const cut = (name: string): string =>
  name.length > maxNameLength ? `${name.slice(0, maxNameLength - 1)}…` : name

export interface Listener {
  readonly added: (operation: Operation) => void
  readonly cleared: () => void
}

export class Operations {
  private readonly named: Record<Kind, Map<string, Operation>> = {
    operation: new Map(),
    span: new Map(),
    query: new Map(),
    mutation: new Map()
  }
  private readonly listeners = new Set<Listener>()
  private size = 0
  readonly maxNames: number
  /** Calls of names that there was no room for. */
  overflowed = 0

  constructor(maxNames: number) {
    this.maxNames = maxNames
  }

  /** The operation that a call of a name is counted as. */
  get(kind: Kind, name: string): Operation {
    return this.named[kind].get(name) ?? this.add(kind, name) ?? this.overflow(kind)
  }

  /** The operation of a name, unless it is one of those that there is no room for. */
  find(kind: Kind, name: string): Operation | undefined {
    const operation = this.named[kind].get(name) ?? this.add(kind, name)
    return operation?.name === overflowName ? undefined : operation
  }

  private add(kind: Kind, name: string): Operation | undefined {
    const short = cut(name)
    const known = short === name ? undefined : this.named[kind].get(short)
    if (known !== undefined) return known
    if (this.size >= this.maxNames) return undefined
    this.size++
    return this.make(kind, short)
  }

  private overflow(kind: Kind): Operation {
    this.overflowed++
    return this.named[kind].get(overflowName) ?? this.make(kind, overflowName)
  }

  private make(kind: Kind, name: string): Operation {
    const operation = new Operation(kind, name)
    this.named[kind].set(name, operation)
    for (const { added } of this.listeners) added(operation)
    return operation
  }

  /** Calls back for each operation there is, for each that comes, and when all are forgotten. */
  observe(listener: Listener): () => void {
    this.listeners.add(listener)
    for (const operation of this.all()) listener.added(operation)
    return () => this.listeners.delete(listener)
  }

  all(): ReadonlyArray<Operation> {
    return Object.values(this.named).flatMap((operations) => [...operations.values()])
  }

  clear(): void {
    for (const operations of Object.values(this.named)) operations.clear()
    this.size = 0
    this.overflowed = 0
    for (const { cleared } of this.listeners) cleared()
  }
}
