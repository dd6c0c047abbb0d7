/** Decodes the records that `profileRecord.ts` writes. A separate file, because the writer must not load Schema. */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { ProfileReport } from "../ProfileReport.ts"
import * as Histogram from "./histogram.ts"
import type { ProfileRecord } from "../ProfileRecord.ts"
import { distribution } from "./snapshot.ts"

const LineSchema = Schema.Struct({
  session: Schema.String,
  kernel: Schema.Finite,
  report: ProfileReport
})

const decodeLine = Schema.decodeUnknownOption(LineSchema)

const none = Histogram.encode(Histogram.make())

/** Restores the members of a histogram that the writer omitted. */
const restore = (_key: string, value: unknown): unknown =>
  typeof value === "object" && value !== null && "buckets" in value
    ? distribution(Histogram.decode({ ...none, ...(value as Partial<Histogram.Encoded>) }))
    : value

/** Decodes a line, if it is a record. */
export const decode = (text: string): Option.Option<ProfileRecord> => {
  try {
    return decodeLine(JSON.parse(text, restore))
  } catch {
    return Option.none()
  }
}
