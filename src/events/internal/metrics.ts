/**
 * Exports the counters of a recorder as metrics. They are read on collection, so that events pay nothing for them.
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"

export const deliveryTime = Metric.timer("athena_events_delivery", {
  description: "How long batches of events take to be delivered"
})

const nothing = (): void => undefined

export interface Metrics {
  readonly counter: (name: string, description: string, get: () => number) => void
  readonly gauge: (name: string, description: string, get: () => number) => void
}

/** Registers metrics of a recorder until the scope closes. */
export const make = (recorder: string): Effect.Effect<Metrics, never, Scope.Scope> =>
  Effect.gen(function* () {
    const context = yield* Effect.context<never>()
    const registrations: Array<Metric.Registration> = []
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const registration of registrations) registration.remove()
      })
    )
    const attributes = { recorder }
    return {
      counter: (name, description, get) => {
        const metric = Metric.counter(name, { description, incremental: true, attributes })
        const read = () => ({ count: get(), incremental: true })
        registrations.push(Metric.registerUnsafe(metric, context, { get: read, update: nothing, modify: nothing }))
      },
      gauge: (name, description, get) => {
        const metric = Metric.gauge(name, { description, attributes })
        const read = () => ({ value: get() })
        registrations.push(Metric.registerUnsafe(metric, context, { get: read, update: nothing, modify: nothing }))
      }
    }
  })
