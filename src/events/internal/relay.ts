/**
 * Takes events out of the spool and into the database: one process at a time, whoever lives.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Semaphore from "effect/Semaphore"
import { type EventRecorderErrorReason, EventRejected } from "../EventRecorderError.ts"
import { type TargetFailure, deliver, type Deliverable, outcome, type Outcome, type Target } from "./delivery.ts"
import { monotonicMsOf } from "../../internal/clock.ts"
import { deliveryTime } from "./metrics.ts"
import type { Failpoint } from "./failpoints.ts"
import type { Settings } from "./options.ts"
import { randomId, type Spool } from "./spool.ts"
import type { SpoolFault } from "./spoolFault.ts"
import type { DeadLetterKind, Acknowledgement, SpooledRow, SpoolFile } from "./spoolFile.ts"

/** How one pass over the spool ended. */
export type Pass =
  | { readonly _tag: "drained" }
  /** Another process drains. */
  | { readonly _tag: "busy" }
  | { readonly _tag: "unavailable"; readonly code: string }
  | { readonly _tag: "fault"; readonly fault: SpoolFault }

/** An event that failed this often, while others went through, is set aside. */
const maxAttempts = 5

/** The same where none goes through: then it may be the database's own failure, and more patience is due. */
const maxAttemptsAlone = 20

/** A batch that takes longer is halved, one that is faster doubled. */
const slowMs = 1_000
const fastMs = 250
const minBatch = 16

/** How often it is looked whether another process has delivered what is waited for here. */
const checkIntervalMs = 50

const maxPauseMs = 250

export interface Counters {
  delivered: number
  rejected: number
  damaged: number
  batches: number
  failures: number
}

interface SpooledEvent<Event> extends Deliverable<Event> {
  readonly row: SpooledRow
}

interface Dead {
  readonly row: SpooledRow
  readonly kind: DeadLetterKind
  readonly reason: string
}

export interface RelayOptions<Event> {
  readonly settings: Settings
  readonly spool: Spool
  readonly decode: (payload: string) => Event | undefined
  /** Where events go; a process without one leaves the spool to others. */
  readonly target: Target<Event> | undefined
  readonly clock: Clock.Clock
  readonly recorder: string
  readonly failpoint: (failpoint: Failpoint) => void
  /** Called when rows have left the spool. */
  readonly onSpace: () => void
}

/** Somebody who wants to know when an event is stored. */
export interface Waiter {
  readonly complete: (reason?: EventRecorderErrorReason) => void
  /**
   * The file that the event was written into. Not to find it there means that it was delivered; not to find it before, or in
   * a file that took the place of a damaged one, means nothing.
   */
  epoch: string | undefined
  /** Where it is in that file. */
  sequence: number
}

/** The longest pause between two attempts while somebody waits for one. */
const maxBackoffWithWaitersMs = 1_000

export class Relay<Event> {
  readonly counters: Counters = { delivered: 0, rejected: 0, damaged: 0, batches: 0, failures: 0 }
  /** Rows that this process wrote. */
  spooled = 0
  /** What kept the last pass from delivering; none where it delivered. */
  lastFailure: string | undefined
  private readonly options: RelayOptions<Event>
  private readonly token = randomId()
  private readonly passLock = Semaphore.makeUnsafe(1)
  private readonly trigger = Latch.makeUnsafe()
  private readonly waiterAdded = Latch.makeUnsafe()
  private readonly waiters = new Map<string, Set<Waiter>>()
  private batch: number
  private rowsSince = 0
  private bytesSince = 0
  private urgent = 0
  /** The last row that was delivered while the spool could not be written. */
  private unacknowledged = 0
  private backoffMs: number

  constructor(options: RelayOptions<Event>) {
    this.options = options
    this.batch = options.settings.batchSize
    this.backoffMs = options.settings.backoffMs
  }

  /** Hears of rows that were written. */
  appended(rows: number, bytes: number): void {
    const { batchSize, maxBatchBytes } = this.options.settings
    this.spooled += rows
    this.rowsSince += rows
    this.bytesSince += bytes
    if (this.rowsSince >= batchSize || this.bytesSince >= maxBatchBytes || this.waiters.size > 0) {
      this.trigger.openUnsafe()
    }
  }

  /** Tells, once, what becomes of an event. */
  subscribe(id: string, waiter: Waiter): void {
    const known = this.waiters.get(id)
    if (known === undefined) this.waiters.set(id, new Set([waiter]))
    else known.add(waiter)
    this.waiterAdded.openUnsafe()
  }

  unsubscribe(id: string, waiter: Waiter): void {
    const known = this.waiters.get(id)
    known?.delete(waiter)
    if (known?.size === 0) this.waiters.delete(id)
  }

  /** Drains in the background, for ever. */
  readonly run: Effect.Effect<never> = Effect.gen({ self: this }, function* () {
    const { intervalMs } = this.options.settings
    for (;;) {
      yield* Effect.timeoutOption(this.trigger.await, intervalMs)
      this.trigger.closeUnsafe()
      const pass = yield* this.background.pipe(
        Effect.catchDefect(() =>
          Effect.as(Effect.logError(`${this.options.recorder}: a flush failed with a defect`), {
            _tag: "unavailable",
            code: "defect"
          } satisfies Pass)
        )
      )
      if (pass._tag === "unavailable") yield* this.backOff
      else {
        this.backoffMs = this.options.settings.backoffMs
        if (pass._tag !== "drained" && this.waiters.size > 0) yield* this.checkWaiters
      }
    }
  })

  /**
   * One pass over what is in the spool now. In the background it takes no more than its share of the time, so that
   * others get at the database.
   */
  pass(throttled: boolean): Effect.Effect<Pass> {
    const drain = Effect.gen({ self: this }, function* () {
      if (this.options.target === undefined) return { _tag: "busy" } satisfies Pass
      const { leaseMs } = this.options.settings
      const now = yield* Clock.currentTimeMillis
      const got = this.options.spool.use((file) => file.acquire(this.token, now, leaseMs))
      if (Result.isFailure(got)) {
        if (got.failure.kind === "diskFull") yield* this.deliverUnacknowledged(this.options.target)
        return { _tag: "fault", fault: got.failure } satisfies Pass
      }
      this.unacknowledged = 0
      this.options.spool.retryRescue()
      if (!got.success) return { _tag: "busy" } satisfies Pass
      const checked = this.options.spool.check()
      if (Result.isFailure(checked)) return { _tag: "fault", fault: checked.failure } satisfies Pass
      // A damaged file was replaced by a new one, and the lease was in the old one.
      return yield* this.drain(this.options.target, throttled).pipe(
        Effect.ensuring(Effect.sync(() => this.options.spool.use((file) => file.release(this.token))))
      )
    })
    return this.passLock.withPermit(drain).pipe(Effect.tap((pass) => Effect.sync(() => this.note(pass))))
  }

  /** A pass that somebody waits for: it is not throttled, and hurries one that is. */
  readonly urgentPass: Effect.Effect<Pass> = Effect.suspend(() => {
    this.urgent++
    return this.pass(false).pipe(Effect.ensuring(Effect.sync(() => this.urgent--)))
  })

  private note(pass: Pass): void {
    if (pass._tag === "unavailable") this.lastFailure = pass.code
    else if (pass._tag === "fault") this.lastFailure = pass.fault.detail
    else if (pass._tag === "drained") this.lastFailure = undefined
  }

  private readonly background: Effect.Effect<Pass> = Effect.suspend(() => {
    this.rowsSince = 0
    this.bytesSince = 0
    if (!this.options.settings.drain && this.waiters.size === 0) {
      return Effect.succeed({ _tag: "drained" } satisfies Pass)
    }
    this.options.spool.retryRescue()
    const empty = this.options.spool.use((file) => file.last() === 0)
    if (Result.isFailure(empty)) return Effect.succeed({ _tag: "fault", fault: empty.failure } satisfies Pass)
    return empty.success ? Effect.succeed({ _tag: "drained" } satisfies Pass) : this.pass(this.waiters.size === 0)
  })

  private readonly backOff: Effect.Effect<void> = Effect.gen({ self: this }, function* () {
    const { maxBackoffMs } = this.options.settings
    const jitter = 0.5 + (yield* Random.next)
    const shortMs = Math.min(this.backoffMs, maxBackoffWithWaitersMs) * jitter
    yield* Effect.sleep(shortMs)
    if (this.waiters.size === 0 && this.backoffMs > maxBackoffWithWaitersMs) {
      this.waiterAdded.closeUnsafe()
      yield* Effect.timeoutOption(this.waiterAdded.await, this.backoffMs * jitter - shortMs)
    }
    this.backoffMs = Math.min(this.backoffMs * 2, maxBackoffMs)
    this.trigger.openUnsafe()
  })

  /** Another process may have delivered what is waited for here. */
  private readonly checkWaiters: Effect.Effect<void> = Effect.gen({ self: this }, function* () {
    yield* Effect.sleep(checkIntervalMs)
    for (const [id, waiters] of this.waiters) {
      const found = this.options.spool.use((file) => this.locate(file, id, waiters))
      if (Result.isFailure(found)) break
      if (found.success === "gone") this.complete(id)
      if (found.success === "dead") this.complete(id, new EventRejected({ code: "set aside" }))
    }
    if (this.waiters.size > 0) this.trigger.openUnsafe()
  })

  /** A later one of the same id may wait when an earlier one is gone. */
  private locate(file: SpoolFile, id: string, waiters: ReadonlySet<Waiter>): "waiting" | "dead" | "gone" {
    let found: "waiting" | "dead" | "gone" = "gone"
    for (const { epoch, sequence } of waiters) {
      if (epoch !== file.epoch) return "waiting"
      found = file.locate(id, sequence)
      if (found === "waiting") return found
    }
    return found
  }

  private complete(id: string, reason?: EventRecorderErrorReason): void {
    const waiters = this.waiters.get(id)
    this.waiters.delete(id)
    for (const waiter of waiters ?? []) waiter.complete(reason)
  }

  private drain(target: Target<Event>, throttled: boolean): Effect.Effect<Pass> {
    return Effect.gen({ self: this }, function* () {
      const { leaseMs, maxBatchBytes } = this.options.settings
      const held = new Set<string>()
      let through = 0
      const last = this.options.spool.use((file) => file.last())
      if (Result.isFailure(last)) return { _tag: "fault", fault: last.failure } satisfies Pass
      for (let after = 0; ;) {
        const now = yield* Clock.currentTimeMillis
        const from = after
        // The lease was just taken when the first batch is read.
        const read = this.options.spool.use((file) =>
          from === 0 || file.renew(this.token, now, leaseMs)
            ? file.read(from, this.size(throttled), maxBatchBytes)
            : undefined
        )
        if (Result.isFailure(read)) return { _tag: "fault", fault: read.failure } satisfies Pass
        if (read.success === undefined) return { _tag: "busy" } satisfies Pass
        const rows = read.success.filter(({ sequence }) => sequence <= last.success)
        if (rows.length === 0) return { _tag: "drained" } satisfies Pass
        after = rows.at(-1)!.sequence
        const started = monotonicMsOf(this.options.clock)
        const result = yield* this.deliverRows(target, rows, held, through)
        const ms = monotonicMsOf(this.options.clock) - started
        if (result._tag !== "drained") return result
        through += result.through
        this.adapt(ms)
        if (after >= last.success) return { _tag: "drained" } satisfies Pass
        if (throttled) yield* this.rest(ms)
      }
    })
  }

  /**
   * On a disk that is full nothing can be written, not even that an event is delivered; but it can be delivered. It is
   * delivered again once the disk has room, which changes nothing.
   */
  private deliverUnacknowledged(target: Target<Event>): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      for (;;) {
        const read = this.options.spool.use((file) =>
          file.read(this.unacknowledged, this.batch, this.options.settings.maxBatchBytes)
        )
        if (Result.isFailure(read) || read.success.length === 0) return
        const result = outcome<SpooledEvent<Event>>()
        const delivery = yield* Effect.exit(deliver(target, this.decode(read.success).events, result))
        for (const { id } of result.delivered) this.complete(id)
        if (Exit.isFailure(delivery) || result.held.size > 0) return
        this.unacknowledged = read.success.at(-1)!.sequence
      }
    })
  }

  /** Delivers rows and settles what became of them. */
  private deliverRows(
    target: Target<Event>,
    rows: ReadonlyArray<SpooledRow>,
    held: Set<string>,
    throughBefore: number
  ): Effect.Effect<Exclude<Pass, { _tag: "drained" }> | { readonly _tag: "drained"; readonly through: number }> {
    return Effect.gen({ self: this }, function* () {
      const { dead, events, repeated } = this.decode(rows)
      const result = outcome<SpooledEvent<Event>>(held)
      this.options.failpoint("before delivery")
      const failureCode = yield* deliver(target, events, result).pipe(
        Effect.raceFirst(this.renewLease),
        Effect.withSpan("EventRecorder.deliver", {
          attributes: { recorder: this.options.recorder, events: events.length }
        }),
        Effect.trackDuration(deliveryTime),
        Effect.match({ onSuccess: () => undefined, onFailure: (failure: TargetFailure) => failure.code })
      )
      this.options.failpoint("after delivery")
      const through = result.delivered.length + result.refused.length
      const alone = through + throughBefore === 0 ? result.failed[0]?.code : undefined
      const interrupted = yield* this.acknowledge(
        rows,
        result,
        dead,
        repeated,
        alone === undefined ? maxAttempts : maxAttemptsAlone
      )
      this.options.failpoint("after acknowledge")
      this.counters.batches++
      if (failureCode !== undefined || alone !== undefined) {
        this.counters.failures++
        this.batch = Math.max(minBatch, this.batch >> 1)
        return { _tag: "unavailable", code: failureCode ?? alone! } as const
      }
      return interrupted ?? ({ _tag: "drained", through } as const)
    })
  }

  /** What of the rows is to be delivered: each id once, and what is what was written. */
  private decode(rows: ReadonlyArray<SpooledRow>) {
    const events = new Map<string, SpooledEvent<Event>>()
    const repeated: Array<SpooledRow> = []
    const dead: Array<Dead> = []
    for (const row of rows) {
      if (!row.intact) {
        dead.push({ row, kind: "damaged", reason: "its row is damaged" })
        continue
      }
      const event = this.options.decode(row.payload)
      if (event === undefined) dead.push({ row, kind: "unreadable", reason: "it does not fit its schema any more" })
      else if (events.has(row.id)) repeated.push(row)
      else events.set(row.id, { id: row.id, session: row.session, event, row })
    }
    return { events: [...events.values()], repeated, dead }
  }

  private acknowledge(
    rows: ReadonlyArray<SpooledRow>,
    result: Outcome<SpooledEvent<Event>>,
    early: ReadonlyArray<Dead>,
    repeated: ReadonlyArray<SpooledRow>,
    limit: number
  ): Effect.Effect<Exclude<Pass, { _tag: "drained" }> | undefined> {
    return Effect.map(Clock.currentTimeMillis, (now) => {
      const done = new Set(result.delivered.map(({ id }) => id))
      const dead: ReadonlyArray<Dead> = [
        ...early,
        ...result.refused.map(({ code, item }) => ({ row: item.row, kind: "rejected" as const, reason: code })),
        ...result.failed
          .filter(({ item }) => item.row.attempts + 1 >= limit)
          .map(({ code, item }) => ({ row: item.row, kind: "rejected" as const, reason: code }))
      ]
      const acknowledgement: Acknowledgement = {
        delivered: [...result.delivered.map(({ row }) => row), ...repeated.filter(({ id }) => done.has(id))].map(
          ({ sequence }) => sequence
        ),
        dead: dead.map(({ kind, reason, row }) => ({ sequence: row.sequence, kind, reason })),
        failed: result.failed.filter(({ item }) => item.row.attempts + 1 < limit).map(({ item }) => item.row.sequence)
      }
      if (acknowledgement.delivered.length + acknowledgement.dead.length + acknowledgement.failed.length === 0) return undefined
      const applied = this.options.spool.use((file) => file.acknowledge(this.token, acknowledgement, now))
      if (Result.isFailure(applied)) return { _tag: "fault", fault: applied.failure } as const
      if (!applied.success) return { _tag: "busy" } as const
      this.count(acknowledgement, dead)
      for (const id of done) this.complete(id)
      for (const { reason, row } of dead) this.complete(row.id, new EventRejected({ code: reason }))
      if (rows.length > 0) this.options.onSpace()
      return undefined
    })
  }

  private count(acknowledgement: Acknowledgement, dead: ReadonlyArray<Dead>): void {
    const damaged = dead.filter(({ kind }) => kind === "damaged").length
    this.counters.delivered += acknowledgement.delivered.length
    this.counters.damaged += damaged
    this.counters.rejected += dead.length - damaged
  }

  /** Moves the end of the lease while a delivery is under way. */
  private readonly renewLease: Effect.Effect<never> = Effect.suspend(() =>
    Effect.map(Clock.currentTimeMillis, (now) =>
      this.options.spool.use((file) => file.renew(this.token, now, this.options.settings.leaseMs))
    ).pipe(
      Effect.delay(this.options.settings.leaseMs / 3),
      Effect.repeat(Schedule.forever),
      Effect.andThen(Effect.never)
    )
  )

  /** In the background batches stay small: to read one holds the thread, and others of this process wait for it. */
  private size(throttled: boolean): number {
    const { batchSize } = this.options.settings
    return throttled && !this.isUrgent() ? Math.min(this.batch, batchSize) : this.batch
  }

  /** Whether somebody waits, or the spool gets full. */
  private isUrgent(): boolean {
    if (this.urgent > 0 || this.waiters.size > 0) return true
    return (
      Result.getOrElse(
        this.options.spool.use((file) => file.fill()),
        () => 1
      ) > 0.5
    )
  }

  private adapt(ms: number): void {
    const { maxBatchSize } = this.options.settings
    if (ms > slowMs) this.batch = Math.max(minBatch, this.batch >> 1)
    else if (ms < fastMs) this.batch = Math.min(maxBatchSize, this.batch * 2)
  }

  /** Leaves the database to others for a while. */
  private rest(ms: number): Effect.Effect<void> {
    const { dutyCycle } = this.options.settings
    const pause = Math.min(maxPauseMs, (ms * (1 - dutyCycle)) / dutyCycle)
    return pause < 1 || this.isUrgent() ? Effect.void : Effect.sleep(pause)
  }
}
