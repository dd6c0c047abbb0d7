/**
 * Where events wait in memory for the next group that is written, and their callers for what becomes of it.
 *
 * While one group is written the next one gathers, so that many callers share a transaction and a single caller waits for
 * nobody.
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

/** Why a group, or the rest of one, could not be written now. */
export interface Blocked {
  readonly kind: "full" | "diskFull" | "locked" | "unavailable" | "targetUnavailable"
  readonly detail: string
}

/** Who hears of some entries. */
interface Owner {
  /** Whether it was told `accepted` already: then it has nobody to fail to. */
  readonly acknowledged: boolean
  /** Whether it has given up. */
  gone: boolean
  readonly settle: (index: number, reason: EventRecorderErrorReason | undefined, place: number) => void
}

/** An event in line. */
export class Entry<T> {
  readonly value: T
  /** When its caller stops waiting, in monotonic milliseconds. */
  readonly deadline: number
  private readonly owner: Owner
  private readonly index: number
  private settled = false
  /** Whether it was given to the database, which has not said what became of it. */
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

  /** Whether it was written, failed, or was given up by its caller. */
  get done(): boolean {
    return this.settled || this.owner.gone
  }

  /** Tells its caller that it was written, and at which place, or why not. */
  resume(reason?: EventRecorderErrorReason, place = 0): void {
    if (this.done) return
    this.settled = true
    this.owner.settle(this.index, reason, place)
  }
}

/** Writes a group: resumes the entries that it is done with, and says why there are others. */
export type Write<T> = (group: ReadonlyArray<Entry<T>>) => Effect.Effect<Blocked | undefined>

/** Events of one group at most: to write it holds the thread for about a millisecond. */
export const maxGroup = 500

const firstPauseMs = 5
const maxPauseMs = 250

/** Why an entry ends that the database has and says nothing of. */
const outcomeUnknown = () => new DeadlineExceeded({ reached: "unknown", detail: "the database has not answered yet" })

const expired = (blocked: Blocked, uncertain: boolean): EventRecorderErrorReason => {
  if (uncertain) return outcomeUnknown()
  switch (blocked.kind) {
    case "full":
      return new SpoolFull({ detail: blocked.detail })
    case "diskFull":
      return new DiskFull({ detail: blocked.detail })
    case "targetUnavailable":
      return new DeadlineExceeded({ reached: "none", detail: `the database does not take it (${blocked.detail})` })
    default:
      return new SpoolUnavailable({ detail: blocked.detail })
  }
}

export class GroupCommit<T> {
  /** Events whose callers were told `accepted` and that are nowhere else. */
  accepted = 0
  closed = false
  dropped = 0
  private readonly settings: Settings
  private readonly groupSize: number
  private readonly clock: Clock.Clock
  private readonly write: Write<T>
  private readonly onDrop: (count: number) => void
  private queue: Array<Entry<T> | (() => void)> = []
  /** The group that is being written. */
  private inFlight: ReadonlyArray<Entry<T>> = []
  private abandoning = false
  private readonly acceptance: Owner = {
    acknowledged: true,
    gone: false,
    settle: (_, reason) => {
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

  /** Events that wait in memory. */
  get waiting(): number {
    return this.queue.length + this.inFlight.filter(({ done }) => !done).length
  }

  /** Why values that are put in line are not done with in time. */
  timeoutReason(values: ReadonlyArray<T>): EventRecorderErrorReason {
    const late = new Set(values)
    const asked = [...this.inFlight, ...this.queue.filter((entry) => typeof entry !== "function" && entry.uncertain)]
    return asked.some((entry) => typeof entry !== "function" && late.has(entry.value))
      ? outcomeUnknown()
      : new DeadlineExceeded({ reached: "none", detail: "the database does not take it" })
  }

  /**
   * Puts events in line, and ends when all of them are done with: well, or with why one of them was not written. Says of
   * each when it was written.
   */
  put(
    values: ReadonlyArray<T>,
    timeoutMs: number,
    onWritten?: (index: number, place: number) => void
  ): Effect.Effect<void, EventRecorderErrorReason> {
    return Effect.callback((resume) => {
      if (this.closed) return resume(Effect.fail(new Closed()))
      let missing = values.length
      let failure: EventRecorderErrorReason | undefined
      const owner: Owner = {
        acknowledged: false,
        gone: false,
        settle: (index, reason, place) => {
          if (reason === undefined) onWritten?.(index, place)
          failure ??= reason
          if (--missing === 0) resume(failure === undefined ? Effect.void : Effect.fail(failure))
        }
      }
      const deadline = monotonicMsOf(this.clock) + timeoutMs
      for (let index = 0; index < values.length; index++) {
        this.enqueue(new Entry(values[index]!, deadline, owner, index))
      }
      return Effect.sync(() => {
        owner.gone = true
      })
    })
  }

  /** Takes an event into memory where there is room; `false` where there is none. */
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

  /** Says that there may be room again. */
  readonly notifySpace = (): void => {
    this.space.openUnsafe()
  }

  /** Waits until what is in line now is done with. */
  readonly barrier: Effect.Effect<void> = Effect.callback((resume) => {
    this.enqueue(() => resume(Effect.void))
  })

  /** Ends what is left: callers are told, and what was accepted is counted as dropped. */
  abandon(): number {
    const before = this.dropped
    this.abandoning = true
    for (const entry of this.inFlight) entry.resume(outcomeUnknown())
    for (const entry of this.queue.splice(0)) {
      if (typeof entry === "function") entry()
      else entry.resume(entry.uncertain ? outcomeUnknown() : new Closed())
    }
    this.abandoning = false
    const lost = this.dropped - before
    // Once for all: each count may wait for a lock.
    if (lost > 0) this.onDrop(lost)
    return lost
  }

  /** Writes groups for ever. */
  readonly run: Effect.Effect<never> = Effect.gen({ self: this }, function* () {
    let pauseMs = firstPauseMs
    for (;;) {
      this.wake.closeUnsafe()
      if (this.queue.length === 0) {
        yield* this.wake.await
        // The latch wakes this fiber at once: those who are about to record shall get into the same group.
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

  /** Writes the next group, or passes the barrier that stands before it. */
  private next(): Effect.Effect<Blocked | undefined> {
    const group: Array<Entry<T>> = []
    const passed: Array<() => void> = []
    let taken = 0
    for (; taken < this.queue.length && group.length < this.groupSize; taken++) {
      const entry = this.queue[taken]!
      if (typeof entry === "function") {
        if (group.length > 0) break
        passed.push(entry)
      } else if (!entry.done) group.push(entry)
    }
    this.queue.splice(0, taken)
    for (const pass of passed) pass()
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

  /** What could not be written waits, where the policy is to wait; whether there is any. */
  private putBack(group: ReadonlyArray<Entry<T>>, blocked: Blocked): boolean {
    const { policy } = this.settings
    const isFull = blocked.kind === "full" || blocked.kind === "diskFull"
    if (isFull && policy !== "block") {
      for (const entry of group) {
        if (entry.done || entry.acknowledged) continue
        if (policy === "dropNewest") this.drop(1)
        entry.resume(policy === "dropNewest" ? new Dropped({ detail: blocked.detail }) : expired(blocked, false))
      }
    }
    const rest = group.filter((entry) => !entry.done)
    this.queue = [...rest, ...this.queue]
    return rest.length > 0
  }

  /** Waits a little, or until there may be room; and tells those whose time is up. */
  private pause(blocked: Blocked, pauseMs: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      const now = monotonicMsOf(this.clock)
      let next = now + pauseMs
      for (const entry of this.queue) {
        if (typeof entry === "function" || entry.done) continue
        if (entry.deadline <= now) entry.resume(expired(blocked, entry.uncertain))
        else next = Math.min(next, entry.deadline)
      }
      this.queue = this.queue.filter((entry) => typeof entry === "function" || !entry.done)
      this.space.closeUnsafe()
      return Effect.asVoid(Effect.timeoutOption(this.space.await, Math.max(1, next - now)))
    })
  }
}

/**
 * Takes what there is room for into memory. The rest waits for the spool where the policy is to wait, and is refused
 * otherwise.
 */
export const accept = <T>(
  groupCommit: GroupCommit<T>,
  values: ReadonlyArray<T>,
  settings: Settings
): { readonly rows: ReadonlyArray<T>; readonly reason: EventRecorderErrorReason | undefined } => {
  if (groupCommit.closed) return { rows: [], reason: new Closed() }
  let taken = 0
  while (taken < values.length && groupCommit.accept(values[taken]!)) taken++
  const rows = values.slice(taken)
  if (rows.length === 0 || settings.policy === "block") return { rows, reason: undefined }
  const detail = `${settings.maxQueued} events wait in memory`
  if (settings.policy === "fail") return { rows: [], reason: new SpoolFull({ detail }) }
  groupCommit.drop(rows.length)
  return { rows: [], reason: new Dropped({ detail }) }
}

/** Takes nothing more, writes what is in line and does what follows, within the time of a shutdown. */
export const shutdown = <T>(
  groupCommit: GroupCommit<T>,
  recorder: string,
  settings: Settings,
  after: Effect.Effect<unknown>
): Effect.Effect<void> =>
  Effect.gen(function* () {
    groupCommit.closed = true
    yield* Effect.andThen(groupCommit.barrier, after).pipe(Effect.interruptible, Effect.timeoutOption(settings.shutdownMs))
    const lost = groupCommit.abandon()
    if (lost > 0) yield* Effect.logWarning(`${recorder}: ${lost} accepted events had no time to be written`)
  })
