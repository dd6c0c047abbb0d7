/**
 * The last batch of tool calls in a transcript of Claude Code.
 *
 * Claude Code reports a batch when all of its calls have ended. It never reports a batch that an interruption ends, but
 * it writes each result to the transcript. A batch that precedes another message of the model was reported.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as ClaudeCode from "../adapters/ClaudeCode.ts"
import type { HookEvent, Prompt, SessionEnd, ToolUse } from "../HookEvent.ts"
import { isRecord, refusal, textOf } from "./toolOutcome.ts"

/** The parts of a transcript that are read, in bytes from its end, until one contains the whole batch. */
const tailBytes = [64, 1_024, 16_384].map((kibibytes) => kibibytes * 1_024)

/** The most transcripts of subagents that are read. */
const maxSubagents = 1_000

/** The client's result of a call that the user interrupted. */
const interruption = "[Request interrupted by user"

type Fields = Readonly<Record<string, unknown>>

interface Batch {
  readonly promptId: unknown
  readonly calls: ReadonlyArray<Fields>
  /** Whether the text contains the beginning of the batch. */
  readonly isWhole: boolean
}

const parse = (line: string): Fields | undefined => {
  try {
    const value: unknown = JSON.parse(line)
    return isRecord(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** The blocks of a type in a message. */
const blocks = ({ message }: Fields, type: string): ReadonlyArray<Fields> => {
  const content = isRecord(message) ? message["content"] : undefined
  return Array.isArray(content) ? content.filter((block) => isRecord(block) && block["type"] === type) : []
}

/** The id of the model's message; `undefined` for a message that the client composes. */
const messageId = ({ message, type }: Fields): unknown =>
  type === "assistant" && isRecord(message) && message["model"] !== "<synthetic>" ? message["id"] : undefined

/** The response of a call. The transcript states that it is no error, which the text alone does not. */
const responseOf = ({ content, is_error: isError }: Fields): unknown => (isError === false ? { content } : content)

/**
 * Whether a result is an event of its own. Of the errors, a failure was reported when it occurred, and the interruption
 * itself is none; only a refusal is left, such as of an unknown tool.
 */
const isReportable = ({ content, is_error: isError }: Fields, { toolDenialKind }: Fields): boolean => {
  if (isError !== true) return true
  const text = textOf(content) ?? ""
  return toolDenialKind !== "user-rejected" && !text.startsWith(interruption) && refusal(text) !== undefined
}

/** The calls of a message. A fork contains copies of the messages of its parent, whose session has their calls. */
const usesOf = (entry: Fields, sessionId: string): ReadonlyArray<Fields> =>
  (entry["requestSessionId"] ?? sessionId) === sessionId ? blocks(entry, "tool_use") : []

/** Reads the lines backwards, from the last result to the first call of the last message of the model. */
const lastBatch = (lines: ReadonlyArray<string>, sessionId: string): Batch => {
  const results = new Map<unknown, Fields>()
  const uses: Array<Fields> = []
  let last: unknown
  let promptId: unknown
  for (const line of lines.toReversed()) {
    if (!line.includes('"assistant"') && !line.includes('"user"')) continue
    const entry = parse(line)
    if (entry === undefined) continue
    const id = messageId(entry)
    if (id !== undefined) {
      if (last !== undefined && id !== last) return batchOf(uses, results, promptId, true)
      last = id
      uses.unshift(...usesOf(entry, sessionId))
    } else if (entry["type"] === "user") {
      const found = blocks(entry, "tool_result")
      if (found.length === 0 && last !== undefined) return batchOf(uses, results, promptId, true)
      promptId ??= found.length > 0 ? entry["promptId"] : undefined
      for (const result of found) {
        if (!isReportable(result, entry)) continue
        results.set(result["tool_use_id"], { ...result, timestamp: entry["timestamp"] })
      }
    }
  }
  return batchOf(uses, results, promptId, false)
}

const batchOf = (
  uses: ReadonlyArray<Fields>,
  results: ReadonlyMap<unknown, Fields>,
  promptId: unknown,
  isWhole: boolean
): Batch => ({
  promptId,
  isWhole,
  calls: uses.flatMap(({ id, input, name }) => {
    const result = results.get(id)
    if (result === undefined || typeof name !== "string") return []
    const { timestamp } = result
    return [{ tool_name: name, tool_input: input, tool_use_id: id, tool_response: responseOf(result), timestamp }]
  })
})

const decoder = new TextDecoder()

/** The last batch of a regular file: opening a pipe would block. */
const readBatch = (file: string, sessionId: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const { size, type } = yield* fs.stat(file)
    if (type !== "File") return undefined
    const opened = yield* fs.open(file, { flag: "r" })
    for (const bytes of tailBytes) {
      const start = Math.max(0, Number(size) - bytes)
      const tail = yield* opened.readAlloc(Number(size) - start, { position: BigInt(start) })
      if (Option.isNone(tail)) return undefined
      const lines = decoder.decode(tail.value).split("\n")
      const batch = lastBatch(start === 0 ? lines : lines.slice(1), sessionId)
      if (batch.isWhole || start === 0 || bytes === tailBytes.at(-1)) return batch
    }
    return undefined
  }).pipe(
    Effect.scoped,
    Effect.orElseSucceed(() => undefined)
  )

const subagents = (transcript: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const folder = path.join(transcript.slice(0, -path.extname(transcript).length), "subagents")
    const names = yield* Effect.orElseSucceed(fs.readDirectory(folder), () => [])
    return names
      .filter((name) => name.endsWith(".jsonl"))
      .slice(0, maxSubagents)
      .map((name) => path.join(folder, name))
  })

const toolUseOf = ({ cwd, sessionId }: HookEvent, { calls, promptId }: Batch) =>
  ClaudeCode.decode({
    hook_event_name: "PostToolBatch",
    session_id: sessionId,
    cwd,
    prompt_id: promptId,
    tool_calls: calls
  }).pipe(Effect.orElseSucceed(() => undefined))

/**
 * The calls of the last batches of a session: at a prompt that of the session, at its end also those of its subagents.
 * Most of them were reported and are stored already.
 */
export const read = (
  event: Prompt | SessionEnd
): Effect.Effect<ReadonlyArray<ToolUse>, never, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const { _tag, transcript } = event
    if (transcript === undefined) return []
    const files = [transcript, ...(_tag === "SessionEnd" ? yield* subagents(transcript) : [])]
    const batches = yield* Effect.forEach(files, (file) => readBatch(file, event.sessionId))
    const events = yield* Effect.forEach(
      batches.filter((batch) => batch !== undefined && batch.calls.length > 0),
      (batch) => toolUseOf(event, batch as Batch)
    )
    return events.filter((found) => found?._tag === "ToolUse")
  })
