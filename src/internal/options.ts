/**
 * One rule for options: an invalid one in code is a defect, an `InvalidOption` that names it; an invalid one from
 * `Config` is a `ConfigError`. Nothing is clamped.
 */
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"

/** The message names the option and contains no URL. */
export class InvalidOption extends RangeError {
  override readonly name = "InvalidOption"
}

const range = (min: number | string, max: number | string): string =>
  max === Infinity || max === "Infinity" ? `of at least ${min}` : `from ${min} to ${max}`

const format = (ms: number): string => Duration.format(Duration.millis(ms))

const checks = (refuse: <A>(message: string, value: A) => A) => ({
  number: (name: string, value: number, min: number, max: number): number =>
    value >= min && value <= max ? value : refuse(`${name} is ${value}; specify a number ${range(min, max)}`, value),
  whole: (name: string, value: number, min: number, max: number): number =>
    Number.isInteger(value) && value >= min && value <= max
      ? value
      : refuse(`${name} is ${value}; specify a whole number ${range(min, max)}`, value),
  /** In milliseconds, as its bounds. */
  duration: (name: string, value: Duration.Input, min: number, max: number): number => {
    const found = Duration.fromInput(value)
    if (found._tag === "None") return refuse(`${name} is not a duration; specify one such as "100 millis"`, NaN)
    const ms = Duration.toMillis(found.value)
    if (ms >= min && ms <= max) return ms
    return refuse(`${name} is ${ms} ms; specify a duration ${range(format(min), format(max))}`, ms)
  },
  oneOf: <const A extends string>(name: string, value: A, values: ReadonlyArray<A>): A =>
    values.includes(value) ? value : refuse(`${name} is ${String(value)}; specify one of ${values.join(", ")}`, value)
})

/** Checks that throw an `InvalidOption` in the name of their owner. */
export const reader = (owner: string) => {
  const refuse = (message: string): never => {
    throw new InvalidOption(`${owner}: ${message}`)
  }
  return { ...checks(refuse), refuse }
}

/** Resolves options and throws one `InvalidOption` that names all invalid ones. */
export const resolveAll = <Resolved>(
  owner: string,
  resolve: (read: ReturnType<typeof checks>, refuse: (message: string) => void) => Resolved
): Resolved => {
  const invalid: Array<string> = []
  const resolved = resolve(
    checks((message, value) => {
      invalid.push(message)
      return value
    }),
    (message) => invalid.push(message)
  )
  if (invalid.length > 0) throw new InvalidOption(`${owner}: ${invalid.join("; ")}`)
  return resolved
}

/** Reads options from `Config` and resolves them. */
export const fromConfig = <Options, Resolved>(
  config: Config.Wrap<Options>,
  resolve: (options: Options) => Resolved
): Effect.Effect<Resolved, Config.ConfigError> =>
  Effect.flatMap(Config.unwrap(config), (options) =>
    Effect.try({
      try: () => resolve(options),
      catch: (error) => {
        const message = error instanceof Error ? error.message : String(error)
        return new Config.ConfigError(new Schema.SchemaError(new SchemaIssue.InvalidValue({ message })))
      }
    })
  )
