/**
 * Faults as values: replace an operation's result, or act before or after it.
 *
 * A `Fault` is a function around an operation, so a custom fault is a function too. Time is the test's clock: under
 * `TestClock` nothing is delayed until the test advances it.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"

/**
 * The outcome of an operation; `running` until it ends.
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
  /** The start on the test's clock, in milliseconds since 1970. */
  readonly startedAt: number
  readonly outcome: Outcome
}

/**
 * A function that receives the operation and returns the caller's result.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fault<out E = never> {
  <A, E2>(operation: Effect.Effect<A, E2>, call: Call): Effect.Effect<A, E | E2>
}

/**
 * Fails without running the operation.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fail =
  <E>(error: E): Fault<E> =>
  () =>
    Effect.fail(error)

/**
 * Dies of a defect without running the operation.
 *
 * @category constructors
 * @since 0.1.0
 */
export const die =
  (defect: unknown): Fault =>
  () =>
    Effect.die(defect)

/**
 * Never returns and does not run the operation. It is interruptible.
 *
 * @category constructors
 * @since 0.1.0
 */
export const hang: Fault = () => Effect.never

/**
 * Delays the start of the operation.
 *
 * @category constructors
 * @since 0.1.0
 */
export const delay =
  (by: Duration.Input): Fault =>
  (operation) =>
    Effect.delay(operation, by)

/**
 * Runs the operation first, then applies the fault to its result. With `fail` that simulates a lost response: the
 * caller can't know that the operation ran.
 *
 * @category combinators
 * @since 0.1.0
 */
export const after =
  <E>(fault: Fault<E>): Fault<E> =>
  (operation, call) =>
    Effect.flatMap(Effect.exit(operation), (exit) => fault(exit, call))

/**
 * A gate at which operations wait until the test opens it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Gate {
  readonly fault: Fault
  /** Waits until an operation has reached the gate. */
  readonly reached: Effect.Effect<void>
  /** Resumes waiting operations; later ones do not wait. */
  readonly open: Effect.Effect<void>
}

/**
 * Makes a closed gate.
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
 * The outcome of an operation with this exit.
 *
 * @category conversions
 * @since 0.1.0
 */
export const outcomeOf = (exit: Exit.Exit<unknown, unknown>): Outcome => {
  if (Exit.isSuccess(exit)) return "succeeded"
  return Exit.hasInterrupts(exit) ? "interrupted" : Exit.hasDies(exit) ? "died" : "failed"
}
