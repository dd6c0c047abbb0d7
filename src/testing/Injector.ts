/**
 * Injects faults between a service and its callers, and records the calls.
 *
 * `FaultyStore` and `FaultyExecutor` are built on it; use it for other services in the same way.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fault from "./Fault.ts"

/**
 * The maximum number of recorded calls, the newest: 10,000.
 *
 * @category defaults
 * @since 0.1.0
 */
export const maxCalls = 10_000

/**
 * Selects the operations that a fault affects.
 *
 * @category models
 * @since 0.1.0
 */
export interface InjectOptions<out Operation extends string> {
  /** All operations when absent. */
  readonly operations?: ReadonlyArray<Operation> | undefined
  /** The number of operations that the fault affects. Unlimited until `heal` when absent. */
  readonly times?: number | undefined
}

/**
 * The fault controls of a service.
 *
 * @category models
 * @since 0.1.0
 */
export interface Faults<in out Operation extends string, in E> {
  /** Injects a fault. If several affect one operation, the last injected one runs first. */
  readonly inject: (fault: Fault.Fault<E>, options?: InjectOptions<Operation>) => Effect.Effect<void>
  /** Removes all faults for later operations. Hanging and waiting operations are unaffected. */
  readonly heal: Effect.Effect<void>
  /** The last calls, at most `maxCalls`, in the order of their start. */
  readonly calls: Effect.Effect<ReadonlyArray<Fault.Call<Operation>>>
  /** The number of calls of these operations, or of all when none is given, including calls that a fault replaced. */
  readonly count: (...operations: ReadonlyArray<Operation>) => Effect.Effect<number>
}

/**
 * The fault controls of a service, and the function that routes its operations through them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Injector<in out Operation extends string, in out E> extends Faults<Operation, E> {
  /** Runs an operation under the faults injected at its start. */
  readonly through: <A, E2>(
    operation: Operation,
    args: ReadonlyArray<unknown>,
    effect: Effect.Effect<A, E2>
  ) => Effect.Effect<A, E | E2>
  /** Whether a fault is injected for an operation; for synchronous members. It does not consume the fault. */
  readonly isFaulty: (operation: Operation) => boolean
}

interface Injected<Operation extends string, E> {
  readonly fault: Fault.Fault<E>
  readonly operations: ReadonlySet<Operation> | undefined
  left: number
}

/**
 * Constructs an injector without faults.
 *
 * **Example**
 *
 * ```ts
 * import * as Fault from "athena-hooks/testing/Fault"
 * import * as Injector from "athena-hooks/testing/Injector"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function* () {
 *   const injector = yield* Injector.make<"send", Error>()
 *   const send = (text: string) => injector.through("send", [text], Effect.log(text))
 *   yield* injector.inject(Fault.fail(new Error("no network")), { times: 2 })
 *   yield* send("hello").pipe(Effect.retry({ times: 2 }))
 *   return yield* injector.count("send") // 3
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <Operation extends string, E = never>(): Effect.Effect<Injector<Operation, E>> =>
  Effect.sync(() => {
    const injected: Array<Injected<Operation, E>> = []
    const calls: Array<Fault.Call<Operation> & { outcome: Fault.Outcome }> = []
    const counts = new Map<Operation, number>()

    const find = (operation: Operation): Injected<Operation, E> | undefined =>
      injected.findLast(({ left, operations }) => left > 0 && (operations === undefined || operations.has(operation)))

    const begin = (operation: Operation, args: ReadonlyArray<unknown>, startedAt: number) => {
      const call: (typeof calls)[number] = { operation, args, startedAt, outcome: "running" }
      counts.set(operation, (counts.get(operation) ?? 0) + 1)
      if (calls.push(call) > maxCalls) calls.shift()
      return call
    }

    return {
      inject: (fault, options = {}) =>
        Effect.sync(() => {
          const operations = options.operations === undefined ? undefined : new Set(options.operations)
          injected.push({ fault, operations, left: options.times ?? Infinity })
        }),
      heal: Effect.sync(() => {
        injected.length = 0
      }),
      calls: Effect.sync(() => calls.map((call) => ({ ...call }))),
      count: (...operations) =>
        Effect.sync(() => {
          let total = 0
          for (const [operation, count] of counts) {
            if (operations.length === 0 || operations.includes(operation)) total += count
          }
          return total
        }),
      through: (operation, args, effect) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          const call = begin(operation, args, now)
          const found = find(operation)
          if (found !== undefined) found.left--
          return Effect.onExit(found === undefined ? effect : found.fault(effect, call), (exit) =>
            Effect.sync(() => {
              call.outcome = Fault.outcomeOf(exit)
            })
          )
        }),
      isFaulty: (operation) => find(operation) !== undefined
    }
  })
