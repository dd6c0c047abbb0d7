/** Metrics whose values are read when an exporter collects them, so that an operation pays nothing for them. */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"

type Attributes = Readonly<Record<string, string>>

export interface Metrics {
  readonly counter: (name: string, description: string, get: () => number, attributes?: Attributes) => void
  readonly gauge: (name: string, description: string, get: () => number, attributes?: Attributes) => void
  /** In seconds. */
  readonly histogram: (
    name: string,
    description: string,
    boundaries: ReadonlyArray<number>,
    get: () => Metric.HistogramState,
    attributes?: Attributes
  ) => void
  readonly removeAll: () => void
}

const nothing = (): void => undefined

const merged = (common: Attributes | undefined, own: Attributes | undefined): Attributes | undefined =>
  own === undefined ? common : { ...common, ...own }

/** Registers metrics with common attributes until the scope closes. */
export const make = (common?: Attributes): Effect.Effect<Metrics, never, Scope.Scope> =>
  Effect.gen(function* () {
    const context = yield* Effect.context<never>()
    const registrations: Array<Metric.Registration> = []
    const removeAll = (): void => {
      for (const registration of registrations.splice(0)) registration.remove()
    }
    const add = <Input, State>(metric: Metric.Metric<Input, State>, get: () => State): void =>
      void registrations.push(Metric.registerUnsafe(metric, context, { get, update: nothing, modify: nothing }))

    yield* Effect.addFinalizer(() => Effect.sync(removeAll))
    return {
      counter: (name, description, get, own) => {
        const options = { description, incremental: true, attributes: merged(common, own) }
        add(Metric.counter(name, options), () => ({ count: get(), incremental: true }))
      },
      gauge: (name, description, get, own) =>
        add(Metric.gauge(name, { description, attributes: merged(common, own) }), () => ({ value: get() })),
      histogram: (name, description, boundaries, get, own) =>
        add(Metric.histogram(name, { description, boundaries, attributes: { ...common, ...own, unit: "s" } }), get),
      removeAll
    }
  })
