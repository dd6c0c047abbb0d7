/** The measurements of each operation: one record per name, and a bounded number of names. */
import * as Histogram from "./histogram.ts"

/** The source of a name: a tracked operation, a span, or a query or mutation of the `QueryExecutor`. */
export type Kind = "operation" | "span" | "query" | "mutation"

export type Outcome = "success" | "failure" | "defect" | "interrupted"

export class SampleTotals {
  samples = 0
  /** CPU time in milliseconds. */
  user = 0
  system = 0
  /** The samples without another open call: only these measure the operation itself. */
  alone = 0
  aloneCpu = 0
  /** Growth of the heap in bytes, without samples that a garbage collection invalidated. */
  memorySamples = 0
  memory = 0
  maxMemory = 0
  memoryInvalid = 0
  /** The peak resident memory of the process, in bytes, during calls without a concurrent one. */
  peak = 0
  peaks = 0
}

export class ThreadTotals {
  /** The thread time of a call including its callees and forked fibers, in milliseconds. */
  readonly active = Histogram.make()
  /** The wall time minus the active time. */
  readonly waiting = Histogram.make()
  /** Thread time without callees, in milliseconds, including open calls. */
  self = 0
  /** CPU time of the process during `self`, in milliseconds. */
  selfCpu = 0
  /** CPU time of ended calls including callees and forked fibers, in milliseconds. */
  activeCpu = 0
}

export class Operation {
  readonly outcomes: Record<Outcome, number> = { success: 0, failure: 0, defect: 0, interrupted: 0 }
  /** In milliseconds. */
  readonly wall = Histogram.make()
  open = 0
  maxOpen = 0
  /** The remaining budget for samples, in milliseconds; no sample is taken below zero. */
  credit = 0
  sampled: SampleTotals | undefined = undefined
  thread: ThreadTotals | undefined = undefined
  /** The number of parents under which it repeated, and the maximum number of runs under one. */
  repeatedParents = 0
  maxRepeats = 0

  readonly kind: Kind
  readonly name: string

  constructor(kind: Kind, name: string) {
    this.kind = kind
    this.name = name
  }
}

/** The name under which calls beyond `maxNames` are counted. */
export const overflowName = "(others)"

/** The maximum length of a name, in UTF-16 units. */
export const maxNameLength = 200

export const truncateName = (name: string): string =>
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
  overflowed = 0

  constructor(maxNames: number) {
    this.maxNames = maxNames
  }

  /** The operation under which a call is counted. */
  get(kind: Kind, name: string): Operation {
    return this.named[kind].get(name) ?? this.add(kind, name) ?? this.overflow(kind)
  }

  /** The operation with this name, or `undefined` if it is beyond the bound. */
  find(kind: Kind, name: string): Operation | undefined {
    const operation = this.named[kind].get(name) ?? this.add(kind, name)
    return operation?.name === overflowName ? undefined : operation
  }

  private add(kind: Kind, name: string): Operation | undefined {
    const short = truncateName(name)
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

  /** Notifies the listener of every existing and new operation, and of `clear`. */
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
