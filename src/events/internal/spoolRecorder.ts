/**
 * The recorder with a spool: memory, file, database.
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type { QueryExecutor } from "../../query/QueryExecutor.ts"
import type { Definition, EventRecorder, Flushed, RecordOptions, SpoolOptions, Stats } from "../EventRecorder.ts"
import {
  DeadlineExceeded,
  DiskFull,
  EventRecorderError,
  type EventRecorderErrorReason,
  InvalidOption,
  SpoolUnavailable,
  TargetUnavailable
} from "../EventRecorderError.ts"
import { Relay, type Waiter } from "./relay.ts"
import * as Encoding from "./encoding.ts"
import { accept, closing, GroupCommit, maxGroup, type Write } from "./groupCommit.ts"
import * as Metrics from "./metrics.ts"
import { Failpoints } from "./failpoints.ts"
import * as Settings from "./settings.ts"
import { Spool } from "./spool.ts"
import type { SpoolFault } from "./spoolFault.ts"
import type { Row, SpoolFile } from "./spoolFile.ts"

/** Events that are put in line at once: the rest of a long list waits until they are written. */
const chunk = 1_000

/** How often a flush looks whether another process is done with the spool. */
const busyPause = "50 millis"

const reasonOf = (fault: SpoolFault): EventRecorderErrorReason =>
  fault.kind === "diskFull" ? new DiskFull({ detail: fault.detail }) : new SpoolUnavailable({ detail: fault.detail })

/** Writes groups into the spool. */
const writeTo =
  <Event>(spool: Spool, drainer: Relay<Event>): Write<Row> =>
  (group) =>
    Effect.sync(() => {
      const written = spool.append(group.map(({ value }) => value))
      if (Result.isFailure(written)) return written.failure
      const { sequences } = spool
      let bytes = 0
      for (let index = 0; index < written.success; index++) {
        const entry = group[index]!
        bytes += entry.value.payload.length
        entry.resume(undefined, sequences[index])
      }
      if (written.success > 0) drainer.appended(written.success, bytes)
      if (written.success === group.length) return undefined
      return spool.reached === "disk"
        ? { kind: "diskFull", detail: "the disk is full" }
        : { kind: "full", detail: "the spool is at its bound" }
    })

export const make = <Event>(
  definition: Definition<Event>,
  options: SpoolOptions,
  executor: QueryExecutor["Service"] | undefined
): Effect.Effect<EventRecorder<Event>, EventRecorderError, Scope.Scope> =>
  Effect.gen(function* () {
    const { name: recorder } = definition
    const { file, settings } = yield* Settings.spool(recorder, options)
    const clock = yield* Clock.Clock
    const moment = yield* Failpoints
    const encoding = Encoding.make(definition, settings.maxEventBytes)
    const spool = new Spool({ ...file, recorder }, () => clock.currentTimeMillisUnsafe(), moment)
    yield* Effect.addFinalizer(() => Effect.sync(() => spool.close()))
    const drainer = new Relay<Event>({
      settings,
      spool,
      decode: encoding.decode,
      target:
        executor === undefined
          ? undefined
          : { executor, mutation: definition.target, timeoutMs: settings.deliverTimeoutMs },
      clock,
      recorder,
      moment,
      onRoom: () => front.hasRoom()
    })
    const front: GroupCommit<Row> = new GroupCommit(settings, maxGroup, clock, writeTo(spool, drainer), (count) =>
      spool.countDropped(count)
    )

    const fail = (operation: string) => (reason: EventRecorderErrorReason) =>
      new EventRecorderError({ recorder, operation, reason })

    const use = <A>(operation: string, run: (file: SpoolFile) => A): Effect.Effect<A, EventRecorderError> =>
      Effect.suspend(() =>
        Effect.fromResult(Result.mapError(spool.use(run), (fault) => fail(operation)(reasonOf(fault))))
      )

    /** Resumes when all rows are in the database, or set aside. */
    const committed = (rows: ReadonlyArray<Row>, withinMs: number) =>
      Effect.suspend(() => {
        let inSpool = 0
        const waiters: Array<Waiter> = []
        const stored = Effect.callback<void, EventRecorderErrorReason>((resume) => {
          let missing = rows.length
          let failure: EventRecorderErrorReason | undefined
          for (const { id } of rows) {
            const waiter: Waiter = {
              tell: (reason) => {
                failure ??= reason
                if (--missing === 0) resume(failure === undefined ? Effect.void : Effect.fail(failure))
              },
              epoch: undefined,
              sequence: 0
            }
            waiters.push(waiter)
            drainer.watch(id, waiter)
          }
        })
        const unwatch = Effect.sync(() => {
          for (const [index, waiter] of waiters.entries()) drainer.unwatch(rows[index]!.id, waiter)
        })
        const written = front.put(rows, withinMs, (index, sequence) => {
          inSpool++
          Object.assign(waiters[index]!, { epoch: spool.epoch, sequence })
        })
        // What can't be written is not waited for; what is stored need not be written.
        return Effect.all([stored, written], { concurrency: 2, discard: true }).pipe(
          Effect.timeoutOrElse({
            duration: withinMs,
            orElse: () =>
              Effect.fail(
                new DeadlineExceeded({
                  reached: inSpool === rows.length ? "spooled" : "none",
                  detail: drainer.lastFailure ?? "the database has not stored it yet"
                })
              )
          }),
          Effect.ensuring(unwatch)
        )
      })

    const submit = (
      rows: ReadonlyArray<Row>,
      options: RecordOptions | undefined
    ): Effect.Effect<void, EventRecorderErrorReason> => {
      const withinMs = options?.timeout === undefined ? settings.deadlineMs : Duration.toMillis(options.timeout)
      switch (options?.ack ?? "spooled") {
        case "accepted":
          return Effect.suspend(() => {
            const refused = accept(front, rows, settings)
            if (refused.reason !== undefined) return Effect.fail(refused.reason)
            return refused.rows.length === 0 ? Effect.void : front.put(refused.rows, withinMs)
          })
        case "spooled":
          return front.put(rows, withinMs)
        case "committed":
          return committed(rows, withinMs)
      }
    }

    const record: EventRecorder<Event>["record"] = (event, options) =>
      Effect.suspend(() => {
        const row = encoding.encode(event, clock.currentTimeMillisUnsafe())
        if (Result.isFailure(row)) return Effect.fail(fail("record")(row.failure))
        return Effect.mapError(submit([row.success], options), fail("record"))
      })

    const recordAll: EventRecorder<Event>["recordAll"] = (events, options) =>
      Effect.gen(function* () {
        const now = clock.currentTimeMillisUnsafe()
        const rows = yield* Encoding.all(events, (event) => encoding.encode(event, now))
        for (let at = 0; at < rows.length; at += chunk) yield* submit(rows.slice(at, at + chunk), options)
      }).pipe(Effect.mapError(fail("recordAll")))

    /** Passes until what is in the spool now has left it, or is held back. */
    const empty: Effect.Effect<void, EventRecorderError> = Effect.gen(function* () {
      const last = yield* use("flush", (file) => file.last())
      for (;;) {
        const pass = yield* drainer.urgentPass
        if (pass._tag === "drained") return
        if (pass._tag === "away") return yield* fail("flush")(new TargetUnavailable({ code: pass.code }))
        if (pass._tag === "fault" && pass.fault.kind !== "locked") return yield* fail("flush")(reasonOf(pass.fault))
        if (yield* use("flush", (file) => file.isEmpty(last))) return
        yield* Effect.sleep(busyPause)
      }
    })

    const flush: EventRecorder<Event>["flush"] = (options) =>
      Effect.gen(function* () {
        const before = { ...drainer.counters }
        yield* front.barrier
        yield* empty
        const left = yield* use("flush", (file) => file.stats().rows)
        const { damaged, delivered, poisoned } = drainer.counters
        return {
          delivered: delivered - before.delivered,
          deadLetters: poisoned + damaged - before.poisoned - before.damaged,
          left
        } satisfies Flushed
      }).pipe(
        Effect.timeoutOrElse({
          duration: options?.timeout ?? settings.deadlineMs,
          orElse: () =>
            Effect.fail(
              fail("flush")(
                new DeadlineExceeded({
                  reached: "spooled",
                  detail: drainer.lastFailure ?? "the spool is not empty yet"
                })
              )
            )
        }),
        Effect.withSpan("EventRecorder.flush", { attributes: { recorder } })
      )

    const stats: Effect.Effect<Stats, EventRecorderError> = Effect.map(
      use("stats", (file) => file.stats()),
      ({ dead, oldest, rows, ...found }) => ({
        ...found,
        deadLetters: dead,
        waiting: front.waiting,
        spooled: rows,
        oldest: oldest === undefined ? undefined : DateTime.makeUnsafe(oldest),
        dropped: found.dropped + spool.uncounted,
        lastFailure: drainer.lastFailure
      })
    )

    const metrics = yield* Metrics.make(recorder)
    metrics.counter(
      "athena_events_spooled_total",
      "Events that this process wrote into the spool",
      () => drainer.spooled
    )
    metrics.counter(
      "athena_events_delivered_total",
      "Events that this process delivered",
      () => drainer.counters.delivered
    )
    metrics.counter(
      "athena_events_batches_total",
      "Batches that this process delivered",
      () => drainer.counters.batches
    )
    metrics.counter(
      "athena_events_failures_total",
      "Batches that could not be delivered",
      () => drainer.counters.failures
    )
    metrics.counter("athena_events_dropped_total", "Events that this process dropped", () => front.dropped)
    metrics.counter("athena_events_poisoned_total", "Events that were set aside", () => drainer.counters.poisoned)
    metrics.counter("athena_events_damaged_total", "Rows that were found damaged", () => drainer.counters.damaged)
    metrics.gauge("athena_events_waiting", "Events in the memory of this process", () => front.waiting)

    yield* Effect.forkScoped(front.run)
    yield* Effect.forkScoped(drainer.run)
    yield* Effect.addFinalizer(() =>
      closing(front, recorder, settings, settings.drain && executor !== undefined ? drainer.urgentPass : Effect.void)
    )

    return {
      record,
      recordAll,
      flush,
      stats,
      deadLetters: {
        list: Effect.fnUntraced(function* (limit = 100) {
          if (!Number.isInteger(limit) || limit < 0) {
            return yield* fail("dead.list")(
              new InvalidOption({ detail: `limit is ${limit}; give a whole number from 0` })
            )
          }
          return yield* Effect.map(
            use("dead.list", (file) => file.listDead(limit)),
            (rows) =>
              rows.map(({ diedAt, recordedAt, session, ...row }) => ({
                ...row,
                order: session,
                recordedAt: DateTime.makeUnsafe(recordedAt),
                diedAt: DateTime.makeUnsafe(diedAt)
              }))
          )
        }),
        retry: (ids) => use("dead.retry", (file) => file.retryDead(ids)),
        drop: (ids) =>
          Effect.tap(
            use("dead.drop", (file) => file.dropDead(ids)),
            () => Effect.sync(front.hasRoom)
          )
      }
    } satisfies EventRecorder<Event>
  })
