/** Encodes events as rows of the spool: id, order key and JSON. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Definition } from "./recorder.ts"
import { InvalidEvent } from "../EventRecorderError.ts"
import type { Deliverable } from "./delivery.ts"
import type { Row } from "./spoolFile.ts"

const maxIdLength = 1_024

export interface Encoding<Event> {
  readonly encode: (event: Event, now: number) => Result.Result<Row, InvalidEvent>
  readonly decode: (payload: string) => Event | undefined
  /** As `encode`, for a target that takes the event itself. */
  readonly identify: (event: Event) => Result.Result<Deliverable<Event>, InvalidEvent>
}

const invalid = (detail: string) => Result.fail(new InvalidEvent({ detail }))

/** The path to the invalid field, without its value. */
const fieldOf = (error: Schema.SchemaError): string => {
  const [, path] = /\n\s*at (\[.*\])\s*$/.exec(error.message) ?? []
  return path === undefined ? "the event does not fit its schema" : `the event does not fit its schema at ${path}`
}

export const make = <Event>(definition: Definition<Event>, maxEventBytes: number): Encoding<Event> => {
  const codec = Schema.toCodecJson(definition.event)
  const encodeEvent = Schema.encodeResult(codec)
  const decodeEvent = Schema.decodeUnknownResult(codec)

  const identify: Encoding<Event>["identify"] = (event) => {
    const keys = Result.try(() => ({ id: definition.id(event), session: definition.order(event) }))
    if (Result.isFailure(keys)) return invalid("its id or its order key can't be made")
    const { id, session } = keys.success
    if (id.length === 0 || id.length > maxIdLength) {
      return invalid(`the id of an event must have 1 to ${maxIdLength} characters; this one has ${id.length}`)
    }
    // Databases store lone surrogates as one replacement character, so distinct ids would become equal.
    return id.isWellFormed() && session.isWellFormed()
      ? Result.succeed({ id, session, event })
      : invalid("the id or the order key of the event has half a surrogate pair in it: use toWellFormed()")
  }

  return {
    identify,
    encode: (event, now) => {
      // A transformation may throw an error whose message quotes the event.
      const tried = Result.try(() => encodeEvent(event))
      if (Result.isFailure(tried)) return invalid("the schema of the event fails to encode it")
      const encoded = tried.success
      if (Result.isFailure(encoded)) return invalid(fieldOf(encoded.failure))
      const json = Result.try(() => JSON.stringify(encoded.success))
      if (Result.isFailure(json)) return invalid("what the schema makes of the event is no JSON")
      const payload = json.success
      // A UTF-16 unit has at most three bytes in UTF-8.
      if (payload.length * 3 > maxEventBytes && Buffer.byteLength(payload) > maxEventBytes) {
        return invalid(
          `the event is larger than ${maxEventBytes} bytes: shorten it, or raise maxEventBytes and maxBytes`
        )
      }
      return Result.map(identify(event), ({ id, session }) => ({ id, session, recordedAt: now, payload }))
    },
    decode: (payload) => {
      const event = Result.try(() => Result.getOrThrow(decodeEvent(JSON.parse(payload))))
      return Result.isSuccess(event) ? event.success : undefined
    }
  }
}

/** Encodes all events, or fails with the first invalid one. */
export const all = <Event, A>(
  events: ReadonlyArray<Event>,
  encode: (event: Event) => Result.Result<A, InvalidEvent>
): Effect.Effect<ReadonlyArray<A>, InvalidEvent> =>
  Effect.suspend(() => {
    const encoded: Array<A> = []
    for (const event of events) {
      const one = encode(event)
      if (Result.isFailure(one)) return Effect.fail(one.failure)
      encoded.push(one.success)
    }
    return Effect.succeed(encoded)
  })
