/**
 * A store of the cache that a test can let fail, hang, be late, wait at a gate or answer damaged entries, and that
 * writes down what it is asked.
 *
 * It goes over any other store: the one in memory, to see what a cache does when its store is in trouble; or a store of
 * your own, to see what it is asked for.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { CacheStore, CacheStoreError, type CacheStoreShape, type Found } from "../cache/CacheStore.ts"
import type * as Fault from "./Fault.ts"
import * as Injector from "./Injector.ts"

/**
 * The operations of a store that answer by an Effect.
 *
 * @category models
 * @since 0.1.0
 */
export type Operation = {
  [Name in keyof CacheStoreShape]: CacheStoreShape[Name] extends
    | Effect.Effect<any, CacheStoreError>
    | ((...args: ReadonlyArray<any>) => Effect.Effect<any, CacheStoreError>)
    ? Name
    : never
}[keyof CacheStoreShape]

/** What answers at once. A member of a store that is neither here nor an operation is a type error. */
const immediate: Readonly<Record<Exclude<keyof CacheStoreShape, Operation>, true>> = { shared: true, generation: true }

/**
 * Service that lets faults happen to the store of the context.
 *
 * @category services
 * @since 0.1.0
 */
export class FaultyStore extends Context.Service<FaultyStore, Injector.Faults<Operation, CacheStoreError>>()(
  "athena-hooks/testing/FaultyStore"
) {}

/**
 * The store fails: the operation is not carried out.
 *
 * @category faults
 * @since 0.1.0
 */
export const fails: Fault.Fault<CacheStoreError> = (_, { operation }) =>
  Effect.fail(new CacheStoreError({ operation, cause: new Error("a fault of the test") }))

const damaged = (found: Found, damage: (value: string) => string): Found =>
  found.entry === undefined ? found : { ...found, entry: { ...found.entry, value: damage(found.entry.value) } }

/**
 * The store answers `get` and `getMany` with entries whose values are changed by a function; cut to their first half when
 * absent. What is not there stays away, and other operations are as they were.
 *
 * @category faults
 * @since 0.1.0
 */
export const damages =
  (damage: (value: string) => string = (value) => value.slice(0, value.length / 2)): Fault.Fault =>
  (operation, call) =>
    Effect.map(operation, (answer) => {
      if (call.operation === "get") return damaged(answer as Found, damage) as typeof answer
      if (call.operation !== "getMany") return answer
      return (answer as ReadonlyArray<Found>).map((found) => damaged(found, damage)) as typeof answer
    })

const around = (store: CacheStoreShape, injector: Injector.Injector<Operation, CacheStoreError>): CacheStoreShape =>
  new Proxy(store, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name)
      // A store in trouble can't tell whether anything was written.
      if (name === "generation") return () => (injector.isFaulty("stamp") ? undefined : target.generation())
      if (typeof name === "symbol" || name in immediate) return member
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
 * Puts faults over the store of the context: provides a `CacheStore` in its place, and `FaultyStore` to steer it by.
 *
 * Without a fault it is as transparent as the store below. `generation` can't be told while a fault for `stamp`, or for
 * all operations, is injected.
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
 *   yield* faults.inject(FaultyStore.fails, { operations: ["get"], times: 3 })
 *   yield* faults.inject(Fault.late("80 millis"), { operations: ["set"] })
 *   // ... what your program does meanwhile ...
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
