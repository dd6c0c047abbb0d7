/**
 * Labelled session histories, the data of the recall bench. The README in this folder explains the format and the labels.
 *
 * A history is the work on one project: its sessions in time order, and prompts of a later session with the memories that
 * are relevant to each. The name of its file determines its half: ranking is tuned on one half and measured on the other.
 */
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"

const list = <S extends Schema.Constraint>(item: S) =>
  Schema.Array(item).pipe(Schema.withDecodingDefaultKey(Effect.succeed([])))

/** A tool call of the agent; a denied call never ran. */
export class ToolCall extends Schema.Class<ToolCall>("ToolCall")({
  name: Schema.NonEmptyString,
  input: Schema.Record(Schema.String, Schema.String),
  outcome: Schema.Literals(["ok", "failed", "denied"]),
  output: Schema.String
}) {}

/** A prompt with the tool calls and the response that follow it. */
export class Exchange extends Schema.Class<Exchange>("Exchange")({
  id: Schema.NonEmptyString,
  at: Schema.DateTimeUtcFromString,
  prompt: Schema.NonEmptyString,
  tools: Schema.Array(ToolCall),
  filesChanged: Schema.Array(Schema.NonEmptyString),
  response: Schema.NonEmptyString
}) {}

/** The summary with nine sections that the agent writes when it compacts its context. */
export class Compaction extends Schema.Class<Compaction>("Compaction")({
  id: Schema.NonEmptyString,
  at: Schema.DateTimeUtcFromString,
  summary: Schema.NonEmptyString
}) {}

/** A text that the user stored with `athena remember`. */
export class Note extends Schema.Class<Note>("Note")({
  id: Schema.NonEmptyString,
  at: Schema.DateTimeUtcFromString,
  text: Schema.NonEmptyString
}) {}

/** A goal of the project, with its status after the history. */
export class Goal extends Schema.Class<Goal>("Goal")({
  id: Schema.NonEmptyString,
  at: Schema.DateTimeUtcFromString,
  status: Schema.Literals(["active", "completed"]),
  title: Schema.NonEmptyString
}) {}

export class Session extends Schema.Class<Session>("Session")({
  id: Schema.NonEmptyString,
  startedAt: Schema.DateTimeUtcFromString,
  exchanges: Schema.Array(Exchange),
  compactions: list(Compaction),
  notes: list(Note),
  goals: list(Goal)
}) {}

/** Kinds of prompts with a relevant memory. */
export const relevantKinds = [
  "command",
  "decision",
  "error",
  "how",
  "identifier",
  "note",
  "preference",
  "repeat",
  "unfinished",
  "when",
  "where",
  "why"
] as const

/** Kinds of prompts to which the correct injection is none. */
export const silentKinds = ["chore", "near-miss", "new-topic", "other-technology", "smalltalk", "wrapper"] as const

/** A prompt of a new session at `History.now`: the injection contains each string of `must`, or is empty if `must` is. */
export class Prompt extends Schema.Class<Prompt>("Prompt")({
  text: Schema.NonEmptyString,
  kind: Schema.Literals([...relevantKinds, ...silentKinds]),
  relevant: Schema.Array(Schema.String),
  must: Schema.Array(Schema.NonEmptyString)
}) {}

/** A fact that a session start at `History.now` mentions: its context contains one of the strings. */
export class Fact extends Schema.Class<Fact>("Fact")({
  kind: Schema.Literals(["command", "digest", "failure", "fix", "goal", "note", "preference", "unfinished"]),
  any: Schema.NonEmptyArray(Schema.NonEmptyString)
}) {}

export class History extends Schema.Class<History>("History")({
  project: Schema.NonEmptyString,
  description: Schema.NonEmptyString,
  /** A BCP 47 tag, or `mixed`. */
  language: Schema.NonEmptyString,
  /** The time of the labelled prompts and of the labelled session start. */
  now: Schema.DateTimeUtcFromString,
  sessions: Schema.Array(Session),
  prompts: Schema.Array(Prompt),
  start: Schema.Array(Fact),
  /** Ids of memories that a later one replaces; no injection contains them. */
  superseded: Schema.Array(Schema.String)
}) {}

export type Half = "tuning" | "validation"

const half = Schema.TemplateLiteralParser([Schema.Literals(["tuning", "validation"]), "-", Schema.String, ".json"])

/** A history with the name and the half of its file. */
export interface Labelled {
  readonly file: string
  readonly half: Half
  readonly history: History
}

const folder = fileURLToPath(new URL("histories", import.meta.url))

/** Reads all histories, sorted by file name; a file that belongs to neither half is an error. */
export const load = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const names = (yield* files.readDirectory(folder)).toSorted()
  return yield* Effect.forEach(names, (file) =>
    Effect.gen(function* () {
      const [half] = yield* decodeName(file)
      const history = yield* decode(yield* files.readFileString(path.join(folder, file)))
      return { file, half, history } satisfies Labelled
    })
  )
})

/** The texts of each memory by its id: for an exchange the response first, then tool calls, files and the prompt. */
export const textsById = (history: History): ReadonlyMap<string, ReadonlyArray<string>> =>
  new Map(history.sessions.flatMap(textsOfSession))

const textsOfSession = (session: Session): ReadonlyArray<readonly [id: string, texts: ReadonlyArray<string>]> => [
  ...session.exchanges.map((exchange) => [exchange.id, textsOfExchange(exchange)] as const),
  ...session.compactions.map(({ id, summary }) => [id, [summary]] as const),
  ...session.notes.map(({ id, text }) => [id, [text]] as const),
  ...session.goals.map(({ id, title }) => [id, [title]] as const)
]

const textsOfExchange = ({ filesChanged, prompt, response, tools }: Exchange): ReadonlyArray<string> => [
  response,
  ...tools.flatMap(({ input, output }) => [...Object.values(input), output]),
  ...filesChanged,
  prompt
]

const decodeName = Schema.decodeUnknownEffect(half)
const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(History))
