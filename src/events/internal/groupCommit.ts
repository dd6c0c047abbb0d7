/**
 * Group commit: events wait in memory for the next group, and their callers for its result.
 *
 * While one group is written, the next one gathers. Many callers share a transaction, and a single caller waits for no
 * other.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import { monotonicMsOf } from "../../internal/clock.ts"
import {
  Closed,
  DeadlineExceeded,
  DiskFull,
  Dropped,
  type EventRecorderErrorReason,
  SpoolFull,
  SpoolUnavailable
} from "../EventRecorderError.ts"
import type { Settings } from "./options.ts"

/** The cause that prevents the write of a group, or of its rest. */
export interface Blocked {
  readonly kind: "full" | "diskFull" | "locked" | "unavailable" | "targetUnavailable"
  readonly detail: string
}

interface Owner {
  /** Whether the caller has its acknowledgement (`accepted`) already, so that failures can only be counted. */
  readonly acknowledged: boolean
  isGone: boolean
  readonly complete: (index: number, reason: EventRecorderErrorReason | undefined, sequence: number) => void
}

export class Entry<T> {
  readonly value: T
  /** The end of its caller's wait, in monotonic milliseconds. */
  readonly deadline: number
  private readonly owner: Owner
  private readonly index: number
  private completed = false
  /** Whether the database may have stored it, but has not responded. */
  uncertain = false

  constructor(value: T, deadline: number, owner: Owner, index: number) {
    this.value = value
    this.deadline = deadline
    this.owner = owner
    this.index = index
  }

  get acknowledged(): boolean {
    return this.owner.acknowledged
  }

  /** Whether it was written, failed, or lost its caller. */
  get done(): boolean {
    return this.completed || this.owner.isGone
  }

  /** Completes the entry: written, with its sequence number, or failed. */
  complete(reason?: EventRecorderErrorReason, sequence = 0): void {
    if (this.done) return
    this.completed = true
    this.owner.complete(this.index, reason, sequence)
  }
}

/** Writes a group: completes the finished entries, and returns the cause that blocks the others. */
export type Write<T> = (group: ReadonlyArray<Entry<T>>) => Effect.Effect<Blocked | undefined>

/** The most events per group: writing it blocks the thread for about a millisecond. */
export const maxGroup = 500

const firstPauseMs = 5
const maxPauseMs = 250

const outcomeUnknown = () => new DeadlineExceeded({ reached: "unknown", detail: "the database has not responded yet" })

const expired = (blocked: Blocked, uncertain: boolean): EventRecorderErrorReason => {
  if (uncertain) return outcomeUnknown()
  switch (blocked.kind) {
    case "full":
      return new SpoolFull({ detail: blocked.detail })
    case "diskFull":
      return new DiskFull({ detail: blocked.detail })
    case "targetUnavailable":
      return new DeadlineExceeded({ reached: "none", detail: `the database is unavailable (${blocked.detail})` })
    default:
      return new SpoolUnavailable({ detail: blocked.detail })
  }
}

export class GroupCommit<T> {
  /** Acknowledged events that exist only in memory. */
  accepted = 0
  closed = false
  dropped = 0
  private readonly settings: Settings
  private readonly groupSize: number
  private readonly clock: Clock.Clock
  private readonly write: Write<T>
  private readonly onDrop: (count: number) => void
  private queue: Array<Entry<T> | (() => void)> = []
  private inFlight: ReadonlyArray<Entry<T>> = []
  private abandoning = false
  private readonly acceptance: Owner = {
    acknowledged: true,
    isGone: false,
    complete: (_, reason) => {
      this.accepted--
      if (reason !== undefined) this.drop(1)
    }
  }
  private readonly wake = Latch.makeUnsafe()
  private readonly space = Latch.makeUnsafe()

  constructor(
    settings: Settings,
    groupSize: number,
    clock: Clock.Clock,
    write: Write<T>,
    onDrop: (count: number) => void
  ) {
    this.settings = settings
    this.groupSize = groupSize
    this.clock = clock
    this.write = write
    this.onDrop = onDrop
  }

  get waiting(): number {
    return this.queue.length + this.inFlight.filter(({ done }) => !done).length
  }

  /** The reason with which enqueued values fail at their deadline. */
  timeoutReason(values: ReadonlyArray<T>): EventRecorderErrorReason {
    const overdue = new Set(values)
    const inDatabase = [
      ...this.inFlight,
      ...this.queue.filter((entry) => typeof entry !== "function" && entry.uncertain)
    ]
    return inDatabase.some((entry) => typeof entry !== "function" && overdue.has(entry.value))
      ? outcomeUnknown()
      : new DeadlineExceeded({ reached: "none", detail: "the database is unavailable" })
  }

  /** Enqueues events, and ends when all of them are complete. Reports each written event with its sequence number. */
  put(
    values: ReadonlyArray<T>,
    timeoutMs: number,
    onWritten?: (index: number, sequence: number) => void
  ): Effect.Effect<void, EventRecorderErrorReason> {
    return Effect.callback((resume) => {
      if (this.closed) return resume(Effect.fail(new Closed()))
      let missing = values.length
      let failure: EventRecorderErrorReason | undefined
      const owner: Owner = {
        acknowledged: false,
        isGone: false,
        complete: (index, reason, sequence) => {
          if (reason === undefined) onWritten?.(index, sequence)
          failure ??= reason
          if (--missing === 0) resume(failure === undefined ? Effect.void : Effect.fail(failure))
        }
      }
      const deadline = monotonicMsOf(this.clock) + timeoutMs
      for (let index = 0; index < values.length; index++) {
        this.enqueue(new Entry(values[index]!, deadline, owner, index))
      }
      return Effect.sync(() => {
        owner.isGone = true
      })
    })
  }

  /** Accepts an event into memory; `false` if `maxQueued` is reached. */
  accept(value: T): boolean {
    if (this.accepted >= this.settings.maxQueued) return false
    this.accepted++
    this.enqueue(new Entry(value, Number.POSITIVE_INFINITY, this.acceptance, 0))
    return true
  }

  drop(count: number): void {
    this.dropped += count
    if (!this.abandoning) this.onDrop(count)
  }

  /** Signals that a full spool or disk may have space again. */
  readonly notifySpace = (): void => {
    this.space.openUnsafe()
  }

  /** Waits until all events that are enqueued now are complete. */
  readonly barrier: Effect.Effect<void> = Effect.callback((resume) => {
    this.enqueue(() => resume(Effect.void))
  })

  /** Fails the remaining entries, and counts the accepted ones as dropped. */
  abandon(): number {
    const before = this.dropped
    this.abandoning = true
    for (const entry of this.inFlight) entry.complete(outcomeUnknown())
    for (const entry of this.queue.splice(0)) {
      if (typeof entry === "function") entry()
      else entry.complete(entry.uncertain ? outcomeUnknown() : new Closed())
    }
    this.abandoning = false
    const lost = this.dropped - before
    // One call for all drops, because each may wait for a lock.
    if (lost > 0) this.onDrop(lost)
    return lost
  }

  /** Writes groups until it is interrupted. */
  readonly run: Effect.Effect<never> = Effect.gen({ self: this }, function* () {
    let pauseMs = firstPauseMs
    for (;;) {
      this.wake.closeUnsafe()
      if (this.queue.length === 0) {
        yield* this.wake.await
        // The latch resumes this fiber immediately; yielding allows concurrent callers to join the group.
        yield* Effect.yieldNow
      }
      const blocked = yield* this.next()
      if (blocked === undefined) {
        pauseMs = firstPauseMs
        continue
      }
      yield* this.pause(blocked, pauseMs)
      pauseMs = Math.min(pauseMs * 2, maxPauseMs)
    }
  })

  private enqueue(entry: Entry<T> | (() => void)): void {
    this.queue.push(entry)
    if (this.queue.length === 1) this.wake.openUnsafe()
  }

  /** Writes the next group, or opens the barrier before it. */
  private next(): Effect.Effect<Blocked | undefined> {
    const group: Array<Entry<T>> = []
    const barriers: Array<() => void> = []
    let taken = 0
    for (; taken < this.queue.length && group.length < this.groupSize; taken++) {
      const entry = this.queue[taken]!
      if (typeof entry === "function") {
        if (group.length > 0) break
        barriers.push(entry)
      } else if (!entry.done) group.push(entry)
    }
    this.queue.splice(0, taken)
    for (const open of barriers) open()
    if (group.length === 0) return Effect.undefined
    this.inFlight = group
    return this.write(group).pipe(
      Effect.catchDefect(() => Effect.succeed<Blocked>({ kind: "unavailable", detail: "an unexpected failure" })),
      Effect.map((blocked) => {
        this.inFlight = []
        return blocked !== undefined && this.putBack(group, blocked) ? blocked : undefined
      })
    )
  }

  /** Applies the policy to the unwritten entries of a group. Returns whether any of them wait. */
  private putBack(group: ReadonlyArray<Entry<T>>, blocked: Blocked): boolean {
    const { policy } = this.settings
    const isFull = blocked.kind === "full" || blocked.kind === "diskFull"
    if (isFull && policy !== "block") {
      for (const entry of group) {
        if (entry.done || entry.acknowledged) continue
        if (policy === "dropNewest") this.drop(1)
        entry.complete(policy === "dropNewest" ? new Dropped({ detail: blocked.detail }) : expired(blocked, false))
      }
    }
    const rest = group.filter((entry) => !entry.done)
    this.queue = [...rest, ...this.queue]
    return rest.length > 0
  }

  /** Pauses, at most until space is signalled, and fails entries past their deadline. */
  private pause(blocked: Blocked, pauseMs: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      const now = monotonicMsOf(this.clock)
      let next = now + pauseMs
      for (const entry of this.queue) {
        if (typeof entry === "function" || entry.done) continue
        if (entry.deadline <= now) entry.complete(expired(blocked, entry.uncertain))
        else next = Math.min(next, entry.deadline)
      }
      this.queue = this.queue.filter((entry) => typeof entry === "function" || !entry.done)
      this.space.closeUnsafe()
      return Effect.asVoid(Effect.timeoutOption(this.space.await, Math.max(1, next - now)))
    })
  }
}

/** Accepts values into memory up to `maxQueued`, and applies the policy to the rest: `put` waits for space. */
export const accept = <T>(
  groupCommit: GroupCommit<T>,
  values: ReadonlyArray<T>,
  { maxQueued, policy }: Settings,
  put: (rest: ReadonlyArray<T>) => Effect.Effect<void, EventRecorderErrorReason>
): Effect.Effect<void, EventRecorderErrorReason> =>
  Effect.suspend(() => {
    if (groupCommit.closed) return Effect.fail(new Closed())
    let taken = 0
    while (taken < values.length && groupCommit.accept(values[taken]!)) taken++
    const rest = values.slice(taken)
    if (rest.length === 0) return Effect.void
    if (policy === "block") return put(rest)
    const detail = `${maxQueued} events wait in memory`
    if (policy === "fail") return Effect.fail(new SpoolFull({ detail }))
    groupCommit.drop(rest.length)
    return Effect.fail(new Dropped({ detail }))
  })

/** Closes the recorder: writes the enqueued events and runs `after`, within the shutdown timeout. */
export const shutdown = <T>(
  groupCommit: GroupCommit<T>,
  recorder: string,
  settings: Settings,
  after: Effect.Effect<unknown>
): Effect.Effect<void> =>
  Effect.gen(function* () {
    groupCommit.closed = true
    yield* Effect.andThen(groupCommit.barrier, after).pipe(
      Effect.interruptible,
      Effect.timeoutOption(settings.shutdownMs)
    )
    const lost = groupCommit.abandon()
    if (lost > 0)
      yield* Effect.logWarning(`${recorder}: ${lost} accepted events were dropped because the shutdown timed out`)
  })
