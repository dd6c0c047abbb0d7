/**
 * Reads the lines that `line.ts` writes.
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { ProfileReport } from "../ProfileReport.ts"
import * as Histogram from "./histogram.ts"
import type { Line } from "./profileRecord.ts"
import { distribution } from "./snapshot.ts"

const LineSchema = Schema.Struct({
  session: Schema.String,
  kernel: Schema.Finite,
  report: ProfileReport
})

const decodeLine = Schema.decodeUnknownOption(LineSchema)

const none = Histogram.encode(Histogram.make())

/** A histogram gets back what can be computed from it. */
const restore = (_key: string, value: unknown): unknown =>
  typeof value === "object" && value !== null && "buckets" in value
    ? distribution(Histogram.decode({ ...none, ...(value as Partial<Histogram.Encoded>) }))
    : value

/** The line, where it is one. */
export const decode = (text: string): Option.Option<Line> => {
  try {
    return decodeLine(JSON.parse(text, restore))
  } catch {
    return Option.none()
  }
}
