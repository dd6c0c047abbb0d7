/**
 * The recorder without a spool: memory, database.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { QueryExecutor } from "../../query/QueryExecutor.ts"
import type { Definition, DirectOptions, EventRecorder, RecordOptions } from "../EventRecorder.ts"
import {
  DeadlineExceeded,
  EventRecorderError,
  type EventRecorderErrorReason,
  InvalidEvent,
  Poisoned,
  TargetUnavailable
} from "../EventRecorderError.ts"
import { deliver, type Deliverable, outcome, type Target } from "./delivery.ts"
import * as Encoding from "./encoding.ts"
import { accept, closing, type Entry, GroupCommit, type Write } from "./groupCommit.ts"
import * as Metrics from "./metrics.ts"
import * as Settings from "./settings.ts"

/** Events that are put in line at once: the rest of a long list waits until they are stored. */
const chunk = 10_000

interface Counters {
  delivered: number
  poisoned: number
  batches: number
  failures: number
  lastFailure: string | undefined
}

/** Delivers groups, each event once, and tells each caller what became of its own. */
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
      const away = yield* deliver(target, items, result).pipe(
        Effect.withSpan("EventRecorder.deliver", { attributes: { events: items.length } }),
        Effect.trackDuration(Metrics.deliveryTime),
        Effect.match({ onSuccess: () => undefined, onFailure: ({ code }) => code })
      )
      const tell = ({ id }: Deliverable<Event>, reason?: EventRecorderErrorReason) => {
        callers.get(id)!.resume(reason)
        for (const entry of repeated) if (entry.value.id === id) entry.resume(reason)
      }
      for (const item of result.delivered) tell(item)
      for (const { code, item } of result.refused) {
        const isInvalid = code === "SchemaError"
        tell(
          item,
          isInvalid ? new InvalidEvent({ detail: "the event does not fit its schema" }) : new Poisoned({ code })
        )
      }
      for (const { code, item } of result.failed) tell(item, new TargetUnavailable({ code }))
      counters.delivered += result.delivered.length
      counters.poisoned += result.refused.length
      counters.batches++
      counters.lastFailure = away
      if (away !== undefined) counters.failures++
      const left = group.filter(({ done }) => !done)
      if (away === "timeout") for (const entry of left) entry.uncertain = true
      return left.length > 0 ? ({ kind: "away", detail: away ?? "an event before it failed" } as const) : undefined
    })

export const make = <Event>(
  definition: Definition<Event>,
  options: DirectOptions,
  executor: QueryExecutor["Service"]
): Effect.Effect<EventRecorder<Event>, EventRecorderError, Scope.Scope> =>
  Effect.gen(function* () {
    const { name: recorder } = definition
    const settings = yield* Settings.direct(recorder, options)
    const clock = yield* Clock.Clock
    const encoding = Encoding.make(definition, settings.maxEventBytes)
    const counters: Counters = { delivered: 0, poisoned: 0, batches: 0, failures: 0, lastFailure: undefined }
    const target: Target<Event> = { executor, mutation: definition.target, timeoutMs: settings.deliverTimeoutMs }
    const front = new GroupCommit<Deliverable<Event>>(
      settings,
      settings.maxBatchSize,
      clock,
      writeTo(target, counters),
      () => {}
    )

    const fail = (operation: string) => (reason: EventRecorderErrorReason) =>
      new EventRecorderError({ recorder, operation, reason })

    const submit = (items: ReadonlyArray<Deliverable<Event>>, options: RecordOptions | undefined) => {
      const withinMs = options?.timeout === undefined ? settings.deadlineMs : Duration.toMillis(options.timeout)
      const put = (items: ReadonlyArray<Deliverable<Event>>) =>
        Effect.timeoutOrElse(front.put(items, withinMs), {
          duration: withinMs,
          orElse: () => Effect.fail(front.late(items))
        })
      if (options?.ack !== "accepted") return put(items)
      return Effect.suspend(() => {
        const refused = accept(front, items, settings)
        if (refused.reason !== undefined) return Effect.fail(refused.reason)
        return refused.rows.length === 0 ? Effect.void : put(refused.rows)
      })
    }

    const recordAll =
      (operation: string) =>
      (events: ReadonlyArray<Event>, options?: RecordOptions): Effect.Effect<void, EventRecorderError> =>
        Effect.gen(function* () {
          const items = yield* Encoding.all(events, encoding.identify)
          for (let at = 0; at < items.length; at += chunk) yield* submit(items.slice(at, at + chunk), options)
        }).pipe(Effect.mapError(fail(operation)))

    const metrics = yield* Metrics.make(recorder)
    metrics.counter("athena_events_delivered_total", "Events that this process delivered", () => counters.delivered)
    metrics.counter("athena_events_batches_total", "Batches that this process delivered", () => counters.batches)
    metrics.counter("athena_events_failures_total", "Batches that could not be delivered", () => counters.failures)
    metrics.counter("athena_events_dropped_total", "Events that this process dropped", () => front.dropped)
    metrics.counter("athena_events_poisoned_total", "Events that the database refused", () => counters.poisoned)
    metrics.gauge("athena_events_waiting", "Events in the memory of this process", () => front.waiting)

    yield* Effect.forkScoped(front.run)
    yield* Effect.addFinalizer(() => closing(front, recorder, settings, Effect.void))

    return {
      record: (event, options) => recordAll("record")([event], options),
      recordAll: recordAll("recordAll"),
      flush: (options) =>
        Effect.gen(function* () {
          const before = { ...counters }
          yield* front.barrier
          return {
            delivered: counters.delivered - before.delivered,
            deadLetters: counters.poisoned - before.poisoned,
            left: front.waiting
          }
        }).pipe(
          Effect.timeoutOrElse({
            duration: options?.timeout ?? settings.deadlineMs,
            orElse: () =>
              Effect.fail(
                fail("flush")(
                  new DeadlineExceeded({ reached: "none", detail: counters.lastFailure ?? "the database is slow" })
                )
              )
          })
        ),
      stats: Effect.sync(() => ({
        waiting: front.waiting,
        spooled: 0,
        bytes: 0,
        oldest: undefined,
        deadLetters: 0,
        delivered: counters.delivered,
        dropped: front.dropped,
        poisoned: counters.poisoned,
        damaged: 0,
        lastFailure: counters.lastFailure
      })),
      deadLetters: { list: () => Effect.succeed([]), retry: () => Effect.succeed(0), drop: () => Effect.succeed(0) }
    } satisfies EventRecorder<Event>
  })
