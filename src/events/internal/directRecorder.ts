/** The recorder without a spool: events go from memory through a group commit into the database. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { QueryExecutor } from "../../query/QueryExecutor.ts"
import * as Metrics from "../../internal/metrics.ts"
import type { DeadLetters, Definition, EventRecorder, RecordOptions, Stats } from "./recorder.ts"
import {
  DeadlineExceeded,
  EventRecorderError,
  type EventRecorderErrorReason,
  InvalidEvent,
  EventRejected,
  TargetUnavailable
} from "../EventRecorderError.ts"
import { deliver, type Deliverable, deliveryTime, outcome, type Target } from "./delivery.ts"
import * as Encoding from "./encoding.ts"
import { accept, shutdown, type Entry, GroupCommit, type Write } from "./groupCommit.ts"
import * as Options from "./options.ts"

export const emptyStats: Stats = {
  waiting: 0,
  spooled: 0,
  bytes: 0,
  oldest: undefined,
  deadLetters: 0,
  delivered: 0,
  dropped: 0,
  rejected: 0,
  damaged: 0,
  lastFailure: undefined
}

export const noDeadLetters: DeadLetters = {
  list: () => Effect.succeed([]),
  retry: () => Effect.succeed(0),
  drop: () => Effect.succeed(0)
}

/** Events enqueued together; the rest of a long list waits until they are stored. */
const chunkSize = 10_000

interface Counters {
  delivered: number
  rejected: number
  batches: number
  failures: number
  lastFailure: string | undefined
}

/** Delivers groups, each id once, and completes each entry with its own result. */
const writeTo =
  <Event>(target: Target<Event>, counters: Counters): Write<Deliverable<Event>> =>
  (group) =>
    Effect.gen(function* () {
      const callers = new Map<string, Entry<Deliverable<Event>>>()
      const repeated: Array<Entry<Deliverable<Event>>> = []
      for (const entry of group) {
        if (callers.has(entry.value.id)) repeated.push(entry)
        else callers.set(entry.value.id, entry)
      }
      const items = Array.from(callers.values(), ({ value }) => value)
      const result = outcome<Deliverable<Event>>()
      const failure = yield* deliver(target, items, result).pipe(
        Effect.withSpan("EventRecorder.deliver", { attributes: { events: items.length } }),
        Effect.trackDuration(deliveryTime),
        Effect.match({ onSuccess: () => undefined, onFailure: ({ code }) => code })
      )
      const complete = ({ id }: Deliverable<Event>, reason?: EventRecorderErrorReason) => {
        callers.get(id)!.complete(reason)
        for (const entry of repeated) if (entry.value.id === id) entry.complete(reason)
      }
      for (const item of result.delivered) complete(item)
      for (const { code, item } of result.refused) {
        const isInvalid = code === "SchemaError"
        complete(
          item,
          isInvalid ? new InvalidEvent({ detail: "the event does not fit its schema" }) : new EventRejected({ code })
        )
      }
      for (const { code, item } of result.failed) complete(item, new TargetUnavailable({ code }))
      counters.delivered += result.delivered.length
      counters.rejected += result.refused.length
      counters.batches++
      counters.lastFailure = failure
      if (failure !== undefined) counters.failures++
      const left = group.filter(({ done }) => !done)
      if (failure === "timeout") for (const entry of left) entry.uncertain = true
      return left.length > 0
        ? ({ kind: "targetUnavailable", detail: failure ?? "an event before it failed" } as const)
        : undefined
    })

export const make = <Event>(
  definition: Definition<Event>,
  settings: Options.Settings,
  executor: QueryExecutor["Service"]
): Effect.Effect<EventRecorder<Event>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { name: recorder } = definition
    const clock = yield* Clock.Clock
    const encoding = Encoding.make(definition, settings.maxEventBytes)
    const counters: Counters = { delivered: 0, rejected: 0, batches: 0, failures: 0, lastFailure: undefined }
    const target: Target<Event> = { executor, mutation: definition.target, timeoutMs: settings.deliverTimeoutMs }
    const groupCommit = new GroupCommit<Deliverable<Event>>(
      settings,
      settings.maxBatchSize,
      clock,
      writeTo(target, counters),
      () => {}
    )

    const fail = (operation: string) => (reason: EventRecorderErrorReason) =>
      new EventRecorderError({ recorder, operation, reason })

    const submit = (items: ReadonlyArray<Deliverable<Event>>, options: RecordOptions | undefined) => {
      const timeoutMs = Options.timeoutMs(options?.timeout, settings)
      const put = (items: ReadonlyArray<Deliverable<Event>>) =>
        Effect.timeoutOrElse(groupCommit.put(items, timeoutMs), {
          duration: timeoutMs,
          orElse: () => Effect.fail(groupCommit.timeoutReason(items))
        })
      return options?.ack === "accepted" ? accept(groupCommit, items, settings, put) : put(items)
    }

    const recordAll =
      (operation: string) =>
      (events: ReadonlyArray<Event>, options?: RecordOptions): Effect.Effect<void, EventRecorderError> =>
        Effect.gen(function* () {
          const items = yield* Encoding.all(events, encoding.identify)
          for (let at = 0; at < items.length; at += chunkSize) yield* submit(items.slice(at, at + chunkSize), options)
        }).pipe(Effect.mapError(fail(operation)))

    const metrics = yield* Metrics.make({ recorder })
    metrics.counter("athena_events_delivered_total", "Events that this process delivered", () => counters.delivered)
    metrics.counter("athena_events_batches_total", "Batches that this process delivered", () => counters.batches)
    metrics.counter("athena_events_failures_total", "Batches that could not be delivered", () => counters.failures)
    metrics.counter("athena_events_dropped_total", "Events that this process dropped", () => groupCommit.dropped)
    metrics.counter("athena_events_rejected_total", "Events that the database refused", () => counters.rejected)
    metrics.gauge("athena_events_waiting", "Events in the memory of this process", () => groupCommit.waiting)

    yield* Effect.forkScoped(groupCommit.run)
    yield* Effect.addFinalizer(() => shutdown(groupCommit, recorder, settings, Effect.void))

    return {
      record: (event, options) => recordAll("record")([event], options),
      recordAll: recordAll("recordAll"),
      flush: (options) =>
        Effect.suspend(() => {
          const before = { ...counters }
          return Effect.timeoutOrElse(groupCommit.barrier, {
            duration: Options.timeoutMs(options?.timeout, settings),
            orElse: () => {
              const detail = counters.lastFailure ?? "the database is slow"
              return Effect.fail(fail("flush")(new DeadlineExceeded({ reached: "none", detail })))
            }
          }).pipe(
            Effect.map(() => ({
              delivered: counters.delivered - before.delivered,
              deadLetters: counters.rejected - before.rejected,
              left: groupCommit.waiting
            }))
          )
        }),
      stats: Effect.sync(() => ({
        ...emptyStats,
        waiting: groupCommit.waiting,
        delivered: counters.delivered,
        dropped: groupCommit.dropped,
        rejected: counters.rejected,
        lastFailure: counters.lastFailure
      })),
      deadLetters: noDeadLetters
    } satisfies EventRecorder<Event>
  })
