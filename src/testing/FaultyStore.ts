/**
 * A `CacheStore` with injectable faults: it can fail, hang, be delayed, wait at a gate or return damaged entries. It also
 * records its calls.
 *
 * Wrap the memory store to test a cache whose store misbehaves, or a custom store to observe the calls it receives.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { CacheStore, CacheStoreError, type CacheStoreShape, type LookupResult } from "../cache/CacheStore.ts"
import type * as Fault from "./Fault.ts"
import * as Injector from "./Injector.ts"

/**
 * The operations of a store that return an Effect.
 *
 * @category models
 * @since 0.1.0
 */
export type Operation = {
  [Name in keyof CacheStoreShape]-?: NonNullable<CacheStoreShape[Name]> extends
    | Effect.Effect<any, CacheStoreError>
    | ((...args: ReadonlyArray<any>) => Effect.Effect<any, CacheStoreError>)
    ? Name
    : never
}[keyof CacheStoreShape]

/** The synchronous members. A member of a store that is neither here nor an operation is a type error. */
const synchronous: Readonly<Record<Exclude<keyof CacheStoreShape, Operation>, true>> = {
  shared: true,
  generation: true,
  clock: true
}

/**
 * Service that injects faults into the store of the context.
 *
 * @category services
 * @since 0.1.0
 */
export class FaultyStore extends Context.Service<FaultyStore, Injector.Faults<Operation, CacheStoreError>>()(
  "athena-hooks/testing/FaultyStore"
) {}

/**
 * The store fails without running the operation.
 *
 * @category faults
 * @since 0.1.0
 */
export const unavailable: Fault.Fault<CacheStoreError> = (_, { operation }) =>
  Effect.fail(new CacheStoreError({ operation, cause: new Error("a fault of the test") }))

const corrupted = (found: LookupResult, damage: (value: string) => string): LookupResult =>
  found.entry === undefined ? found : { ...found, entry: { ...found.entry, value: damage(found.entry.value) } }

/**
 * `get` and `getMany` return entries whose values a function has changed; cut in half when absent. Missing entries stay
 * missing, and other operations are unaffected.
 *
 * @category faults
 * @since 0.1.0
 */
export const corrupt =
  (damage: (value: string) => string = (value) => value.slice(0, value.length / 2)): Fault.Fault =>
  (operation, call) =>
    Effect.map(operation, (result) => {
      if (call.operation === "get") return corrupted(result as LookupResult, damage) as typeof result
      if (call.operation !== "getMany") return result
      return (result as ReadonlyArray<LookupResult>).map((found) => corrupted(found, damage)) as typeof result
    })

const around = (store: CacheStoreShape, injector: Injector.Injector<Operation, CacheStoreError>): CacheStoreShape =>
  new Proxy(store, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name)
      // A failing store can't report whether anything was written.
      if (name === "generation") return () => (injector.isFaulty("stamp") ? undefined : target.generation())
      if (typeof name === "symbol" || name in synchronous) return member
      if (Effect.isEffect(member)) {
        return injector.through(name as Operation, [], member as Effect.Effect<unknown, CacheStoreError>)
      }
      if (typeof member !== "function") return member
      return (...args: ReadonlyArray<unknown>) =>
        injector.through(
          name as Operation,
          args,
          Effect.suspend(() => Reflect.apply(member, target, args) as Effect.Effect<unknown, CacheStoreError>)
        )
    }
  })

/**
 * Wraps the store of the context: provides the wrapped `CacheStore`, and `FaultyStore` to control it.
 *
 * Without a fault it is transparent. `generation` is unknown while a fault for `stamp`, or for all operations, is
 * injected.
 *
 * **Example**
 *
 * ```ts
 * import * as CacheStore from "athena-hooks/cache/CacheStore"
 * import * as QueryCache from "athena-hooks/cache/QueryCache"
 * import * as Fault from "athena-hooks/testing/Fault"
 * import * as FaultyStore from "athena-hooks/testing/FaultyStore"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const Cached = QueryCache.layer().pipe(
 *   Layer.provideMerge(FaultyStore.layer),
 *   Layer.provide(CacheStore.layerMemory())
 * )
 *
 * const test = Effect.gen(function* () {
 *   const faults = yield* FaultyStore.FaultyStore
 *   yield* faults.inject(FaultyStore.unavailable, { operations: ["get"], times: 3 })
 *   yield* faults.inject(Fault.delay("80 millis"), { operations: ["set"] })
 *   // ... run your program ...
 *   yield* faults.heal
 *   return yield* faults.count("get")
 * })
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<CacheStore | FaultyStore, never, CacheStore> = Layer.effectContext(
  Effect.gen(function* () {
    const injector = yield* Injector.make<Operation, CacheStoreError>()
    return Context.make(CacheStore, around(yield* CacheStore, injector)).pipe(Context.add(FaultyStore, injector))
  })
)
