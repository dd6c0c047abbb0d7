/** The relay delivers events from the spool to the target. A lease ensures that one process at a time does so. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Semaphore from "effect/Semaphore"
import { type EventRecorderErrorReason, EventRejected } from "../EventRecorderError.ts"
import {
  type TargetFailure,
  deliver,
  type Deliverable,
  deliveryTime,
  outcome,
  type Outcome,
  type Target
} from "./delivery.ts"
import { monotonicMsOf } from "../../internal/clock.ts"
import { randomId } from "../../internal/randomId.ts"
import type { Failpoint } from "./failpoints.ts"
import type { Settings } from "./options.ts"
import type { Spool } from "./spool.ts"
import type { SpoolFault } from "./spoolFault.ts"
import type { DeadLetterKind, Acknowledgement, SpooledRow, SpoolFile } from "./spoolFile.ts"

export type Pass =
  | { readonly _tag: "drained" }
  /** Another process has the lease. */
  | { readonly _tag: "busy" }
  | { readonly _tag: "unavailable"; readonly code: string }
  | { readonly _tag: "fault"; readonly fault: SpoolFault }

/** Failed attempts after which an event becomes a dead letter, if other events succeed. */
const maxAttempts = 5

/** The same if no event succeeds, because the database may be the cause. */
const maxAttemptsAlone = 20

/** Slower batches are halved, faster ones doubled. */
const slowMs = 1_000
const fastMs = 250
const minBatch = 16

/** The interval of checks for deliveries by another process. */
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
  /** Absent in a process that leaves delivery to others. */
  readonly target: Target<Event> | undefined
  readonly clock: Clock.Clock
  readonly recorder: string
  readonly failpoint: (failpoint: Failpoint) => void
  /** Called when rows have left the spool. */
  readonly onSpace: () => void
}

/** A caller that waits for `committed`. */
export interface Waiter {
  readonly complete: (reason?: EventRecorderErrorReason) => void
  /**
   * The file into which the event was written. Its absence from this file means that it was delivered; its absence from
   * a file that replaced a damaged one means nothing.
   */
  epoch: string | undefined
  /** The sequence number in that file. */
  sequence: number
}

/** The longest pause between two attempts while callers wait. */
const maxBackoffWithWaitersMs = 1_000

export class Relay<Event> {
  readonly counters: Counters = { delivered: 0, rejected: 0, damaged: 0, batches: 0, failures: 0 }
  spooled = 0
  /** The cause of the last failed pass; absent after a success. */
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

  /** Counts new rows, and starts a pass if a batch is full. */
  appended(rows: number, bytes: number): void {
    const { batchSize, maxBatchBytes } = this.options.settings
    this.spooled += rows
    this.rowsSince += rows
    this.bytesSince += bytes
    if (this.rowsSince >= batchSize || this.bytesSince >= maxBatchBytes || this.waiters.size > 0) {
      this.trigger.openUnsafe()
    }
  }

  /** Completes the waiter, once, with the result of an event. */
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

  /** Runs background passes until it is interrupted. */
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
   * One pass over the current events of the spool. A throttled pass stays within its duty cycle, to leave the database
   * to others.
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
      // The lease is invalid if the file was replaced because of damage.
      return yield* this.drain(this.options.target, throttled).pipe(
        Effect.ensuring(Effect.sync(() => this.options.spool.use((file) => file.release(this.token))))
      )
    })
    return this.passLock.withPermit(drain).pipe(Effect.tap((pass) => Effect.sync(() => this.recordResult(pass))))
  }

  /** An unthrottled pass for a waiting caller. It also speeds up a running throttled pass. */
  readonly urgentPass: Effect.Effect<Pass> = Effect.suspend(() => {
    this.urgent++
    return this.pass(false).pipe(Effect.ensuring(Effect.sync(() => this.urgent--)))
  })

  private recordResult(pass: Pass): void {
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

  /** Detects deliveries by another process. */
  private readonly checkWaiters: Effect.Effect<void> = Effect.gen({ self: this }, function* () {
    yield* Effect.sleep(checkIntervalMs)
    for (const [id, waiters] of this.waiters) {
      const found = this.options.spool.use((file) => this.locate(file, id, waiters))
      if (Result.isFailure(found)) break
      if (found.success === "gone") this.complete(id)
      if (found.success === "dead") this.complete(id, new EventRejected({ code: "dead letter" }))
    }
    if (this.waiters.size > 0) this.trigger.openUnsafe()
  })

  /** One id may have several rows, and the later one may wait after the earlier one was delivered. */
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
      let succeeded = 0
      const last = this.options.spool.use((file) => file.last())
      if (Result.isFailure(last)) return { _tag: "fault", fault: last.failure } satisfies Pass
      for (let after = 0; ;) {
        const now = yield* Clock.currentTimeMillis
        const from = after
        // The lease is fresh at the first batch.
        const read = this.options.spool.use((file) =>
          from === 0 || file.renew(this.token, now, leaseMs)
            ? file.read(from, this.batchSize(throttled), maxBatchBytes)
            : undefined
        )
        if (Result.isFailure(read)) return { _tag: "fault", fault: read.failure } satisfies Pass
        if (read.success === undefined) return { _tag: "busy" } satisfies Pass
        const rows = read.success.filter(({ sequence }) => sequence <= last.success)
        if (rows.length === 0) return { _tag: "drained" } satisfies Pass
        after = rows.at(-1)!.sequence
        const started = monotonicMsOf(this.options.clock)
        const result = yield* this.deliverRows(target, rows, held, succeeded)
        const ms = monotonicMsOf(this.options.clock) - started
        if (result._tag !== "drained") return result
        succeeded += result.succeeded
        this.adaptBatchSize(ms)
        if (after >= last.success) return { _tag: "drained" } satisfies Pass
        if (throttled) yield* this.throttle(ms)
      }
    })
  }

  /**
   * Delivers while a full disk prevents acknowledgements in the spool. The events are delivered again once the disk has
   * space, which is harmless.
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

  private deliverRows(
    target: Target<Event>,
    rows: ReadonlyArray<SpooledRow>,
    held: Set<string>,
    succeededBefore: number
  ): Effect.Effect<Exclude<Pass, { _tag: "drained" }> | { readonly _tag: "drained"; readonly succeeded: number }> {
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
      const succeeded = result.delivered.length + result.refused.length
      const aloneCode = succeeded + succeededBefore === 0 ? result.failed[0]?.code : undefined
      const interrupted = yield* this.acknowledge(
        rows,
        result,
        dead,
        repeated,
        aloneCode === undefined ? maxAttempts : maxAttemptsAlone
      )
      this.options.failpoint("after acknowledge")
      this.counters.batches++
      if (failureCode !== undefined || aloneCode !== undefined) {
        this.counters.failures++
        this.batch = Math.max(minBatch, this.batch >> 1)
        return { _tag: "unavailable", code: failureCode ?? aloneCode! } as const
      }
      return interrupted ?? ({ _tag: "drained", succeeded } as const)
    })
  }

  /** Selects the deliverable events: intact rows, each id once. */
  private decode(rows: ReadonlyArray<SpooledRow>) {
    const events = new Map<string, SpooledEvent<Event>>()
    const repeated: Array<SpooledRow> = []
    const dead: Array<Dead> = []
    for (const row of rows) {
      if (!row.intact) {
        dead.push({ row, kind: "damaged", reason: "the row differs from its checksum" })
        continue
      }
      const event = this.options.decode(row.payload)
      if (event === undefined) dead.push({ row, kind: "unreadable", reason: "it no longer fits its schema" })
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
      if (acknowledgement.delivered.length + acknowledgement.dead.length + acknowledgement.failed.length === 0)
        return undefined
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

  private readonly renewLease: Effect.Effect<never> = Effect.suspend(() =>
    Effect.map(Clock.currentTimeMillis, (now) =>
      this.options.spool.use((file) => file.renew(this.token, now, this.options.settings.leaseMs))
    ).pipe(
      Effect.delay(this.options.settings.leaseMs / 3),
      Effect.repeat(Schedule.forever),
      Effect.andThen(Effect.never)
    )
  )

  /** Background batches stay small, because reading them blocks the thread. */
  private batchSize(throttled: boolean): number {
    const { batchSize } = this.options.settings
    return throttled && !this.isUrgent() ? Math.min(this.batch, batchSize) : this.batch
  }

  /** Whether callers wait, or the spool is more than half full. */
  private isUrgent(): boolean {
    if (this.urgent > 0 || this.waiters.size > 0) return true
    return (
      Result.getOrElse(
        this.options.spool.use((file) => file.fill()),
        () => 1
      ) > 0.5
    )
  }

  private adaptBatchSize(ms: number): void {
    const { maxBatchSize } = this.options.settings
    if (ms > slowMs) this.batch = Math.max(minBatch, this.batch >> 1)
    else if (ms < fastMs) this.batch = Math.min(maxBatchSize, this.batch * 2)
  }

  private throttle(ms: number): Effect.Effect<void> {
    const { dutyCycle } = this.options.settings
    const pause = Math.min(maxPauseMs, (ms * (1 - dutyCycle)) / dutyCycle)
    return pause < 1 || this.isUrgent() ? Effect.void : Effect.sleep(pause)
  }
}
