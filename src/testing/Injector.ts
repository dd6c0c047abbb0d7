/**
 * Puts faults between a service and its callers, and writes down who asked for what.
 *
 * `FaultyStore` and `FaultyExecutor` are made with it; it does the same for a service of your own.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fault from "./Fault.ts"

/**
 * How many of the last calls are remembered: 10,000.
 *
 * @category defaults
 * @since 0.1.0
 */
export const maxCalls = 10_000

/**
 * What a fault happens to.
 *
 * @category models
 * @since 0.1.0
 */
export interface InjectOptions<out Operation extends string> {
  /** All operations when absent. */
  readonly operations?: ReadonlyArray<Operation> | undefined
  /** After how many operations the fault is over. When absent it stays until `heal`. */
  readonly times?: number | undefined
}

/**
 * What a test does with the faults of a service.
 *
 * @category models
 * @since 0.1.0
 */
export interface Faults<in out Operation extends string, in E> {
  /** Lets a fault happen. Where several are for the same operation, the last one injected goes first. */
  readonly inject: (fault: Fault.Fault<E>, options?: InjectOptions<Operation>) => Effect.Effect<void>
  /** Ends all faults for operations that begin from now on. What hangs or waits stays as it is. */
  readonly heal: Effect.Effect<void>
  /** The last calls, at most `maxCalls`, in the order in which they began. */
  readonly calls: Effect.Effect<ReadonlyArray<Fault.Call<Operation>>>
  /** How often these operations were asked for, or any when none is named; also those that a fault kept from happening. */
  readonly count: (...operations: ReadonlyArray<Operation>) => Effect.Effect<number>
}

/**
 * The faults of a service, and the way its operations go through them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Injector<in out Operation extends string, in out E> extends Faults<Operation, E> {
  /** Runs an operation under the faults that are injected when it begins. */
  readonly through: <A, E2>(
    operation: Operation,
    args: ReadonlyArray<unknown>,
    effect: Effect.Effect<A, E2>
  ) => Effect.Effect<A, E | E2>
  /** Whether a fault is injected for an operation: for what answers at once and is no Effect. Does not use it up. */
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
