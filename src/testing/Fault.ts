/**
 * Faults as values: what a test lets happen to an operation instead of its answer, or before it, or after it.
 *
 * A `Fault` is a function around an operation, so a fault of your own is a function too. Time is the clock of the test:
 * under `TestClock` nothing is late before the test says so.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"

/**
 * How an operation ended; `running` where it has not.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome = "running" | "succeeded" | "failed" | "died" | "interrupted"

/**
 * One call of an operation.
 *
 * @category models
 * @since 0.1.0
 */
export interface Call<out Operation extends string = string> {
  readonly operation: Operation
  readonly args: ReadonlyArray<unknown>
  /** When it began, by the clock of the test, in milliseconds since 1970. */
  readonly startedAt: number
  readonly outcome: Outcome
}

/**
 * What happens to an operation: it gets the operation, and gives what the caller gets.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fault<out E = never> {
  <A, E2>(operation: Effect.Effect<A, E2>, call: Call): Effect.Effect<A, E | E2>
}

/**
 * The operation fails and is not carried out.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fail =
  <E>(error: E): Fault<E> =>
  () =>
    Effect.fail(error)

/**
 * The operation dies of a defect and is not carried out.
 *
 * @category constructors
 * @since 0.1.0
 */
export const die =
  (defect: unknown): Fault =>
  () =>
    Effect.die(defect)

/**
 * The operation never answers and is not carried out. It can be interrupted.
 *
 * @category constructors
 * @since 0.1.0
 */
export const hang: Fault = () => Effect.never

/**
 * The operation begins late.
 *
 * @category constructors
 * @since 0.1.0
 */
export const late =
  (by: Duration.Input): Fault =>
  (operation) =>
    Effect.delay(operation, by)

/**
 * The operation is carried out first, and then the fault happens to its answer. With `fail` that is the answer that got
 * lost: the caller can't know that the operation was carried out.
 *
 * **Example**
 *
 * ```ts
 * import * as Fault from "athena-hooks/testing/Fault"
 *
 * const lost = Fault.after(Fault.hang)
 * const slowAnswer = Fault.after(Fault.late("80 millis"))
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const after =
  <E>(fault: Fault<E>): Fault<E> =>
  (operation, call) =>
    Effect.flatMap(Effect.exit(operation), (exit) => fault(exit, call))

/**
 * A place where operations wait until the test lets them go on.
 *
 * @category models
 * @since 0.1.0
 */
export interface Gate {
  readonly fault: Fault
  /** Waits until an operation has come to the gate. */
  readonly reached: Effect.Effect<void>
  /** Lets those who wait and those who come go on. */
  readonly open: Effect.Effect<void>
}

/**
 * Makes a gate, closed.
 *
 * **Example**
 *
 * ```ts
 * import * as Fault from "athena-hooks/testing/Fault"
 * import * as FaultyStore from "athena-hooks/testing/FaultyStore"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function* () {
 *   const faults = yield* FaultyStore.FaultyStore
 *   const gate = yield* Fault.gate
 *   yield* faults.inject(gate.fault, { operations: ["set"] })
 *   // A read that stores its result now waits in `set`.
 *   yield* gate.reached
 *   yield* gate.open
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const gate: Effect.Effect<Gate> = Effect.sync(() => {
  const reached = Latch.makeUnsafe()
  const opened = Latch.makeUnsafe()
  return {
    fault: (operation) => reached.open.pipe(Effect.andThen(opened.await), Effect.andThen(operation)),
    reached: reached.await,
    open: Effect.asVoid(opened.open)
  }
})

/**
 * How an operation with this exit ended.
 *
 * @category conversions
 * @since 0.1.0
 */
export const outcomeOf = (exit: Exit.Exit<unknown, unknown>): Outcome => {
  if (Exit.isSuccess(exit)) return "succeeded"
  return Exit.hasInterrupts(exit) ? "interrupted" : Exit.hasDies(exit) ? "died" : "failed"
}
