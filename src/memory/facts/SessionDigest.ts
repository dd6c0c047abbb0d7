/**
 * The digest of a session: its prompts that matter, the changed files, the last answer, and unfinished work.
 *
 * A pure rule over the events of a session. The value of a digest measures how much the session contains, so that
 * routine work ("commit this", "run the tests") does not displace a session in which something was found out.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { preview } from "../../internal/text.ts"
import { MemoryId } from "../Memory.ts"
import {
  changedFiles,
  type CommandRun,
  commandRun,
  covers,
  errorLine,
  type Exchange,
  exchanges,
  isReading,
  type SessionEvent
} from "./SessionEvent.ts"

const Part = Schema.Struct({ id: MemoryId, text: Schema.String })

/**
 * The digest of a session.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SessionDigest = Schema.Struct({
  sessionId: Schema.String,
  /** The time of the first event, in milliseconds since 1970. */
  start: Schema.Finite,
  /** The time of the last event, in milliseconds since 1970. */
  end: Schema.Finite,
  /** The prompts of the exchanges that contain most, at most `maxPrompts`, oldest first. */
  prompts: Schema.Array(Part),
  /**
   * The last answer among those exchanges: its beginning and its end. Without an answer, the same of the last compaction
   * summary or of a subagent's answer.
   */
  answer: Schema.NullOr(Part),
  /** The changed files, the most often changed first, at most `maxFiles`. */
  files: Schema.Array(Schema.String),
  /** The last failed command without a later success, with its error. */
  unfinished: Schema.NullOr(Schema.Struct({ ...Part.fields, command: Schema.String })),
  /** How much the session contains; 0 for routine work only. */
  value: Schema.Finite
})

/**
 * The digest of a session.
 *
 * @category models
 * @since 0.1.0
 */
export type SessionDigest = typeof SessionDigest.Type

/**
 * The most prompts of a digest: 3.
 *
 * @category defaults
 * @since 0.1.0
 */
export const maxPrompts = 3

/**
 * The most changed files of a digest: 6.
 *
 * @category defaults
 * @since 0.1.0
 */
export const maxFiles = 6

const promptLength = 240

/** The lengths of an answer's beginning, which reports the result, and of its end, which names open work. */
const headLength = 260
const tailLength = 200

/** An exchange with less information is routine work. */
const routine = 25

/** The value of unfinished work, whatever the session. */
const unfinishedValue = 20

const word = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Thai}]|[\p{L}\p{N}_]+/gu

/** The number of distinct words; a character of a script without spaces counts as half a word. */
const information = (text: string): number => {
  let total = 0
  for (const one of new Set(text.toLowerCase().match(word))) total += one.length === 1 && /[^\w]/.test(one) ? 0.5 : 1
  return total
}

const lastOf = (events: ReadonlyArray<SessionEvent>, type: string): SessionEvent | undefined =>
  events.findLast((event) => event.type === type)

/** Whether an event reports on the session beside the agent's own answers. */
const isAccount = ({ content, type }: SessionEvent): boolean =>
  type === "subagent_message" || (type === "compaction" && !content.startsWith("context is compacted ("))

const weightOf = ({ events, prompt }: Exchange): number =>
  information(`${prompt?.content ?? ""} ${lastOf(events, "assistant_message")?.content ?? ""}`) +
  3 * Math.min(changedFiles(events).length, 5)

const flat = (text: string): string => text.replace(/\s+/g, " ").trim()

/** The last sentences of a text, at most `length` units. */
const endOf = (text: string, length: number): string => {
  const cut = text.slice(-length).toWellFormed()
  const sentence = /[.!?]\s+(?=\S)|[。！？](?=\S)/u.exec(cut)
  return sentence === null ? cut : cut.slice(sentence.index + sentence[0].length)
}

const shortened = (answer: string): string => {
  const text = flat(answer)
  return text.length <= headLength + tailLength ? text : `${preview(text, headLength)} ${endOf(text, tailLength)}`
}

/** The last failed run without a later success of the same command. */
const unfinishedOf = (events: ReadonlyArray<SessionEvent>): CommandRun | undefined => {
  const runs = events.map(commandRun).filter((run) => run !== undefined)
  return runs.findLast(
    (run, index) =>
      run.error !== undefined &&
      errorLine(run.error) !== "" &&
      !isReading(run.command) &&
      !runs.slice(index + 1).some((later) => later.error === undefined && covers(later, run))
  )
}

const partOf = (event: SessionEvent | undefined, text: (content: string) => string) =>
  event === undefined ? null : { id: event.id, text: text(event.content) }

/** The exchanges of the digest, oldest first: those that contain most, else the first ones. */
const chosen = (weighted: ReadonlyArray<{ readonly exchange: Exchange; readonly weight: number }>) => {
  const valuable = weighted.filter(({ weight }) => weight >= routine)
  const [first, ...rest] = valuable.length > 0 ? valuable : weighted
  if (first === undefined) return []
  const best = new Set(rest.toSorted((a, b) => b.weight - a.weight).slice(0, maxPrompts - 1))
  return weighted.filter((one) => one === first || best.has(one)).map(({ exchange }) => exchange)
}

/**
 * The digest of a session's events, oldest first: `undefined` without a prompt, an answer and unfinished work.
 *
 * **Example**
 *
 * ```ts
 * import * as SessionDigest from "athena-hooks/memory/facts/SessionDigest"
 *
 * const event = { sessionId: "s-1", outcome: null, files: [], filesChanged: 0, worktreePath: null }
 * const digest = SessionDigest.make([
 *   { ...event, id: 1, timestamp: 0, type: "user_question", content: "why does the import fail?" },
 *   { ...event, id: 2, timestamp: 5, type: "assistant_message", content: "The file has a byte order mark." }
 * ])
 * // digest.prompts[0].text === "why does the import fail?"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (events: ReadonlyArray<SessionEvent>): SessionDigest | undefined => {
  const [first] = events
  if (first === undefined) return undefined
  const weighted = exchanges(events).map((exchange) => ({ exchange, weight: weightOf(exchange) }))
  const selected = chosen(weighted)
  const prompts = selected.flatMap(({ prompt }) => partOf(prompt, (text) => preview(flat(text), promptLength)) ?? [])
  const answer = partOf(
    lastOf(
      selected.flatMap((exchange) => exchange.events),
      "assistant_message"
    ) ?? events.findLast(isAccount),
    shortened
  )
  const run = unfinishedOf(events)
  if (prompts.length === 0 && answer === null && run === undefined) return undefined
  const weights = weighted.map(({ weight }) => weight).filter((weight) => weight >= routine)
  const value = weights.toSorted((a, b) => b - a).reduce((sum, weight, rank) => sum + weight / 2 ** rank, 0)
  return {
    sessionId: first.sessionId,
    start: first.timestamp,
    end: events.at(-1)!.timestamp,
    prompts,
    answer,
    files: changedFiles(events).slice(0, maxFiles),
    unfinished:
      run === undefined
        ? null
        : { id: run.event.id, text: `${preview(run.command, 160)}: ${errorLine(run.error!)}`, command: run.key },
    value: value + (run === undefined ? 0 : unfinishedValue)
  }
}

const day = 86_400_000

/** The value of a digest halves in this time. */
const halfLife = 14 * day

/** A prompt without what differs between two prompts of one routine: numbers, files, case. */
const shapeOf = (prompt: string): string =>
  prompt
    .toLowerCase()
    .replace(/\S*(?:\/|\w\.\w)\S*/g, "F")
    .replace(/\d+/g, "N")

/** The occurrences of each shape of a prompt, each session once. */
const shapesOf = (digests: ReadonlyArray<SessionDigest>): ReadonlyMap<string, number> => {
  const counts = new Map<string, number>()
  for (const { prompts } of digests) {
    for (const shape of new Set(prompts.map(({ text }) => shapeOf(text)))) {
      counts.set(shape, (counts.get(shape) ?? 0) + 1)
    }
  }
  return counts
}

/** The sessions in which a prompt occurs before it is routine. */
const minRepeated = 3

/** Orders digests, which are given oldest first, by their value, which halves every 14 days. */
const byValue = (digests: ReadonlyArray<SessionDigest>, now: number): ReadonlyArray<SessionDigest> => {
  const shapes = shapesOf(digests)
  const isRepeated = ({ prompts }: SessionDigest) =>
    prompts.length > 0 && prompts.every(({ text }) => shapes.get(shapeOf(text))! >= minRepeated)
  return digests
    .toReversed()
    .map((digest) => ({
      ...digest,
      value: isRepeated(digest) ? 0 : digest.value * 2 ** (-Math.max(0, now - digest.end) / halfLife)
    }))
    .toSorted((a, b) => b.value - a.value || b.end - a.end)
}

/** Each prompt text once, in its best digest. */
const withoutRepeated = (digests: ReadonlyArray<SessionDigest>): ReadonlyArray<SessionDigest> => {
  const seen = new Set<string>()
  return digests.flatMap((digest) => {
    const prompts = digest.prompts.filter(({ text }) => seen.size < seen.add(text.toLowerCase()).size)
    return prompts.length === 0 && digest.prompts.length > 0 && digest.unfinished === null
      ? []
      : [{ ...digest, prompts }]
  })
}

/** Without the unfinished work that a later session has finished. */
const withoutFinished = (digests: ReadonlyArray<SessionDigest>, succeeded: ReadonlyMap<string, number>) =>
  digests.map((digest) =>
    digest.unfinished !== null && (succeeded.get(digest.unfinished.command) ?? 0) > digest.end
      ? { ...digest, unfinished: null, value: digest.value - unfinishedValue }
      : digest
  )

/**
 * Orders digests, given oldest first, best first: by value, which halves every 14 days. Sessions of routine work, in which every prompt
 * occurs in 3 sessions or which contain hardly any words, have the value 0 and follow by time. Unfinished work is
 * removed if its command has succeeded later.
 *
 * @category combinators
 * @since 0.1.0
 */
export const rank = (
  digests: ReadonlyArray<SessionDigest>,
  options: {
    /** Milliseconds since 1970. */
    readonly now: number
    /** The time of the last success of each command, by its key. */
    readonly succeeded: ReadonlyMap<string, number>
  }
): ReadonlyArray<SessionDigest> => withoutRepeated(byValue(withoutFinished(digests, options.succeeded), options.now))
