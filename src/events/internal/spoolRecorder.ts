/**
 * The recorder with a spool: events go from memory through a group commit into the spool, and by the relay to the target.
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type { QueryExecutor } from "../../query/QueryExecutor.ts"
import {
  DeadlineExceeded,
  DiskFull,
  EventRecorderError,
  type EventRecorderErrorReason,
  SpoolUnavailable,
  TargetUnavailable
} from "../EventRecorderError.ts"
import * as Metrics from "../../internal/metrics.ts"
import * as Encoding from "./encoding.ts"
import { Failpoints } from "./failpoints.ts"
import { accept, GroupCommit, maxGroup, shutdown, type Write } from "./groupCommit.ts"
import * as Options from "./options.ts"
import type { DeadLetters, Definition, EventRecorder, Flushed, RecordOptions, Stats } from "./recorder.ts"
import { Relay, type Waiter } from "./relay.ts"
import { Spool } from "./spool.ts"
import type { SpoolFault } from "./spoolFault.ts"
import type { Row, SpoolFile } from "./spoolFile.ts"

/** Events enqueued together; the rest of a long list waits until they are written. */
const chunkSize = 1_000

/** How often a flush checks whether another process has emptied the spool. */
const busyPause = "50 millis"

/** The parts of a recorder that its operations share. */
interface Parts<Event> {
  readonly recorder: string
  readonly settings: Options.Settings
  readonly clock: Clock.Clock
  readonly spool: Spool
  readonly encoding: Encoding.Encoding<Event>
  readonly groupCommit: GroupCommit<Row>
  readonly relay: Relay<Event>
  readonly fail: (operation: string) => (reason: EventRecorderErrorReason) => EventRecorderError
  readonly use: <A>(operation: string, run: (file: SpoolFile) => A) => Effect.Effect<A, EventRecorderError>
}

const reasonOf = (fault: SpoolFault): EventRecorderErrorReason =>
  fault.kind === "diskFull" ? new DiskFull({ detail: fault.detail }) : new SpoolUnavailable({ detail: fault.detail })

const writeTo =
  <Event>(spool: Spool, relay: Relay<Event>): Write<Row> =>
  (group) =>
    Effect.sync(() => {
      const written = spool.append(group.map(({ value }) => value))
      if (Result.isFailure(written)) return written.failure
      const { sequences } = spool
      let bytes = 0
      for (let index = 0; index < written.success; index++) {
        const entry = group[index]!
        bytes += entry.value.payload.length
        entry.complete(undefined, sequences[index])
      }
      if (written.success > 0) relay.appended(written.success, bytes)
      if (written.success === group.length) return undefined
      return spool.reached === "disk"
        ? { kind: "diskFull", detail: "the disk is full" }
        : { kind: "full", detail: "the spool is at its bound" }
    })

/** Constructs the parts. Finalizers run in reverse order, so the spool is closed last. */
const makeParts = <Event>(
  definition: Definition<Event>,
  { file, settings }: Options.SpoolSettings,
  executor: QueryExecutor["Service"] | undefined
): Effect.Effect<Parts<Event>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { name: recorder } = definition
    const clock = yield* Clock.Clock
    const failpoint = yield* Failpoints
    const encoding = Encoding.make(definition, settings.maxEventBytes)
    const spool = new Spool({ ...file, recorder }, () => clock.currentTimeMillisUnsafe(), failpoint)
    yield* Effect.addFinalizer(() => Effect.sync(() => spool.close()))
    const relay = new Relay<Event>({
      settings,
      spool,
      decode: encoding.decode,
      target:
        executor === undefined
          ? undefined
          : { executor, mutation: definition.target, timeoutMs: settings.deliverTimeoutMs },
      clock,
      recorder,
      failpoint,
      onSpace: () => groupCommit.notifySpace()
    })
    const groupCommit: GroupCommit<Row> = new GroupCommit(settings, maxGroup, clock, writeTo(spool, relay), (count) =>
      spool.countDropped(count)
    )
    const fail = (operation: string) => (reason: EventRecorderErrorReason) =>
      new EventRecorderError({ recorder, operation, reason })
    const use: Parts<Event>["use"] = (operation, run) =>
      Effect.suspend(() =>
        Effect.fromResult(Result.mapError(spool.use(run), (fault) => fail(operation)(reasonOf(fault))))
      )
    return { recorder, settings, clock, spool, encoding, groupCommit, relay, fail, use }
  })

/** Resumes when all rows are in the database or dead letters. */
const committed = <Event>(
  { groupCommit, relay, spool }: Parts<Event>,
  rows: ReadonlyArray<Row>,
  timeoutMs: number
): Effect.Effect<void, EventRecorderErrorReason> =>
  Effect.suspend(() => {
    let inSpool = 0
    const waiters: Array<Waiter> = []
    const stored = Effect.callback<void, EventRecorderErrorReason>((resume) => {
      let missing = rows.length
      let failure: EventRecorderErrorReason | undefined
      for (const { id } of rows) {
        const waiter: Waiter = {
          complete: (reason) => {
            failure ??= reason
            if (--missing === 0) resume(failure === undefined ? Effect.void : Effect.fail(failure))
          },
          epoch: undefined,
          sequence: 0
        }
        waiters.push(waiter)
        relay.subscribe(id, waiter)
      }
    })
    const unsubscribe = Effect.sync(() => {
      for (const [index, waiter] of waiters.entries()) relay.unsubscribe(rows[index]!.id, waiter)
    })
    const written = groupCommit.put(rows, timeoutMs, (index, sequence) => {
      inSpool++
      Object.assign(waiters[index]!, { epoch: spool.epoch, sequence })
    })
    // The failure of either ends both.
    return Effect.all([stored, written], { concurrency: 2, discard: true }).pipe(
      Effect.timeoutOrElse({
        duration: timeoutMs,
        orElse: () =>
          Effect.fail(
            new DeadlineExceeded({
              reached: inSpool === rows.length ? "spooled" : "none",
              detail: relay.lastFailure ?? "the database has not stored it yet"
            })
          )
      }),
      Effect.ensuring(unsubscribe)
    )
  })

const submit = <Event>(
  parts: Parts<Event>,
  rows: ReadonlyArray<Row>,
  options: RecordOptions | undefined
): Effect.Effect<void, EventRecorderErrorReason> => {
  const { groupCommit, settings } = parts
  const timeoutMs = Options.timeoutMs(options?.timeout, settings)
  switch (options?.ack ?? "spooled") {
    case "accepted":
      return accept(groupCommit, rows, settings, (rest) => groupCommit.put(rest, timeoutMs))
    case "spooled":
      return groupCommit.put(rows, timeoutMs)
    case "committed":
      return committed(parts, rows, timeoutMs)
  }
}

const recordOne =
  <Event>(parts: Parts<Event>): EventRecorder<Event>["record"] =>
  (event, options) =>
    Effect.suspend(() => {
      const row = parts.encoding.encode(event, parts.clock.currentTimeMillisUnsafe())
      if (Result.isFailure(row)) return Effect.fail(parts.fail("record")(row.failure))
      return Effect.mapError(submit(parts, [row.success], options), parts.fail("record"))
    })

const recordAll =
  <Event>(parts: Parts<Event>): EventRecorder<Event>["recordAll"] =>
  (events, options) =>
    Effect.gen(function* () {
      const now = parts.clock.currentTimeMillisUnsafe()
      const rows = yield* Encoding.all(events, (event) => parts.encoding.encode(event, now))
      for (let at = 0; at < rows.length; at += chunkSize) {
        yield* submit(parts, rows.slice(at, at + chunkSize), options)
      }
    }).pipe(Effect.mapError(parts.fail("recordAll")))

/** Runs passes until each event in the spool at the start is delivered or held. */
const drain = <Event>({ fail, relay, spool, use }: Parts<Event>): Effect.Effect<void, EventRecorderError> =>
  Effect.gen(function* () {
    let rescued = spool.rescued
    let last = yield* use("flush", (file) => file.last())
    for (;;) {
      const pass = yield* relay.urgentPass
      if (pass._tag === "drained") return
      if (pass._tag === "unavailable") return yield* fail("flush")(new TargetUnavailable({ code: pass.code }))
      if (pass._tag === "fault" && pass.fault.kind !== "locked") return yield* fail("flush")(reasonOf(pass.fault))
      // A rescue during a pass appends events that were in the spool at the start.
      if (rescued !== spool.rescued) {
        rescued = spool.rescued
        last = yield* use("flush", (file) => file.last())
      }
      if (yield* use("flush", (file) => file.isEmpty(last))) return
      yield* Effect.sleep(busyPause)
    }
  })

const flush =
  <Event>(parts: Parts<Event>): EventRecorder<Event>["flush"] =>
  (options) => {
    const { fail, groupCommit, recorder, relay, settings, spool, use } = parts
    const flushed = Effect.gen(function* () {
      const before = { ...relay.counters }
      yield* groupCommit.barrier
      let left = 0
      for (let rescued = -1; rescued !== spool.rescued;) {
        rescued = spool.rescued
        yield* drain(parts)
        left = yield* use("flush", (file) => file.stats().rows)
      }
      const { damaged, delivered, rejected } = relay.counters
      return {
        delivered: delivered - before.delivered,
        deadLetters: rejected + damaged - before.rejected - before.damaged,
        left
      } satisfies Flushed
    })
    return Effect.suspend(() =>
      Effect.timeoutOrElse(flushed, {
        duration: Options.timeoutMs(options?.timeout, settings),
        orElse: () => {
          const detail = relay.lastFailure ?? "the spool is not empty yet"
          return Effect.fail(fail("flush")(new DeadlineExceeded({ reached: "spooled", detail })))
        }
      })
    ).pipe(Effect.withSpan("EventRecorder.flush", { attributes: { recorder } }))
  }

const stats = <Event>({ groupCommit, relay, spool, use }: Parts<Event>): Effect.Effect<Stats, EventRecorderError> =>
  Effect.map(
    use("stats", (file) => file.stats()),
    ({ dead, oldest, rows, ...found }) => ({
      ...found,
      deadLetters: dead,
      waiting: groupCommit.waiting,
      spooled: rows,
      oldest: oldest === undefined ? undefined : DateTime.makeUnsafe(oldest),
      dropped: found.dropped + spool.uncountedDrops,
      lastFailure: relay.lastFailure
    })
  )

const deadLetters = <Event>({ groupCommit, use }: Parts<Event>): DeadLetters => ({
  list: (limit = 100) =>
    Effect.map(
      Effect.suspend(() => {
        const most = Options.deadLetterLimit(limit)
        return use("deadLetters.list", (file) => file.listDead(most))
      }),
      (rows) =>
        rows.map(({ diedAt, recordedAt, session, ...row }) => ({
          ...row,
          order: session,
          recordedAt: DateTime.makeUnsafe(recordedAt),
          diedAt: DateTime.makeUnsafe(diedAt)
        }))
    ),
  retry: (ids) => use("deadLetters.retry", (file) => file.retryDead(ids)),
  drop: (ids) =>
    Effect.tap(
      use("deadLetters.drop", (file) => file.dropDead(ids)),
      () => Effect.sync(groupCommit.notifySpace)
    )
})

const registerMetrics = <Event>({ groupCommit, recorder, relay }: Parts<Event>) =>
  Effect.map(Metrics.make({ recorder }), ({ counter, gauge }) => {
    const { counters } = relay
    counter("athena_events_spooled_total", "Events that this process wrote into the spool", () => relay.spooled)
    counter("athena_events_delivered_total", "Events that this process delivered", () => counters.delivered)
    counter("athena_events_batches_total", "Batches that this process delivered", () => counters.batches)
    counter("athena_events_failures_total", "Batches that failed", () => counters.failures)
    counter("athena_events_dropped_total", "Events that this process dropped", () => groupCommit.dropped)
    counter("athena_events_rejected_total", "Events that the database rejected", () => counters.rejected)
    counter("athena_events_damaged_total", "Damaged rows", () => counters.damaged)
    gauge("athena_events_waiting", "Events in the memory of this process", () => groupCommit.waiting)
  })

/** Constructs the recorder. Without an executor it only writes into the spool. */
export const make = <Event>(
  definition: Definition<Event>,
  options: Options.SpoolSettings,
  executor: QueryExecutor["Service"] | undefined
): Effect.Effect<EventRecorder<Event>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const parts = yield* makeParts(definition, options, executor)
    const { groupCommit, recorder, relay, settings } = parts
    yield* registerMetrics(parts)
    yield* Effect.forkScoped(groupCommit.run)
    yield* Effect.forkScoped(relay.run)
    yield* Effect.addFinalizer(() =>
      shutdown(
        groupCommit,
        recorder,
        settings,
        settings.drain && executor !== undefined ? relay.urgentPass : Effect.void
      )
    )
    return {
      record: recordOne(parts),
      recordAll: recordAll(parts),
      flush: flush(parts),
      stats: stats(parts),
      deadLetters: deadLetters(parts)
    } satisfies EventRecorder<Event>
  })
