/**
 * What makes an event the same event when it is delivered again, and another one when it is not.
 *
 * A key names the agent, the kind of event and the session, and holds a hash of the event's id and of what every delivery
 * of the event has: the prompt's text, the tool and its input. The id alone does not do: some providers number the uses of
 * tools anew at each turn, and a person can send two prompts in one turn.
 *
 * Earlier releases made other keys. An event that is stored under one of those is not stored again: see
 * `MemoryEvent.earlierKeys`.
 */
import { fnv1a } from "../../internal/fnv1a.ts"
import { sha256 } from "../../internal/sha256.ts"
import type { EarlierKey as StoredKey } from "../../memory/MemoryEvent.ts"
import type { Unredacted } from "../../redaction/Redaction.ts"
import type {
  Answer,
  Compaction,
  HookEvent,
  Interruption,
  Prompt,
  SessionEnd,
  ToolCall,
  ToolUse
} from "../HookEvent.ts"

type EarlierKey = Unredacted<StoredKey>

export interface Keys {
  /** None where neither the agent nor the delivery has an id. */
  readonly key: string | undefined
  readonly earlierKeys?: ReadonlyArray<EarlierKey> | undefined
}

/** The longest session id that a key holds as it is; the column of the key takes 255 characters. */
const maxSessionLength = 96

/** The longest id that earlier releases took. */
const maxEarlierIdLength = 96

/** How much of a text distinguishes it from others under the same earlier key. */
const comparedLength = 64

const prefix = ({ agent, sessionId }: HookEvent, kind: string): string => {
  const session = sessionId.length <= maxSessionLength ? sessionId : sha256(sessionId)
  return `${agent}:${kind}:${session}:`
}

const hashOf = (parts: ReadonlyArray<string | undefined>): string => sha256(JSON.stringify(parts)).slice(0, 32)

const keyOf = (
  event: HookEvent,
  kind: string,
  id: string | undefined,
  rest: ReadonlyArray<string | undefined>,
  deliveryId: string | undefined,
  index = 0
): string | undefined => {
  if (id !== undefined) return prefix(event, kind) + hashOf([id, ...rest])
  return deliveryId === undefined ? undefined : `${prefix(event, kind)}delivery:${deliveryId}:${index}`
}

/** The key that earlier releases gave, none where they took no such id. */
const earlierKeys = (
  event: HookEvent,
  kind: string,
  id: string | undefined,
  suffix = "",
  content?: string
): ReadonlyArray<EarlierKey> => {
  if (id === undefined || id.length > maxEarlierIdLength || event.sessionId.length > maxSessionLength) return []
  const [firstLine = ""] = content?.split("\n", 1) ?? []
  const key = `${event.agent}:${kind}:${event.sessionId}:${id}${suffix}`
  return [content === undefined ? { key } : { key, beginsWith: firstLine.slice(0, comparedLength).toWellFormed() }]
}

/** The time of an event, which Gemini CLI has for an id, comes with one prompt only. */
const isTimestamp = (id: string | undefined): boolean => id !== undefined && /^\d{4}-\d\d-\d\dT/.test(id)

/** A prompt is one with its text; a notification has the id of the prompt before it. */
export const ofPrompt = (event: Prompt, deliveryId: string | undefined, content: string): Keys => {
  const { isFromUser: fromPerson, promptId, text } = event
  const asPrompt = earlierKeys(event, "prompt", promptId, "", isTimestamp(promptId) ? undefined : content)
  if (fromPerson) return { key: keyOf(event, "prompt", promptId, [text], deliveryId), earlierKeys: asPrompt }
  return {
    // Some of them come without any id.
    key: keyOf(event, "notification", promptId ?? "", [text], deliveryId),
    earlierKeys: [...earlierKeys(event, "notification", "", fnv1a(text)), ...asPrompt]
  }
}

/** Whether an id can't come again in another turn: it has a part that is drawn or that is a time, and no mere number. */
const isUnique = (id: string): boolean => /(?=(?:[A-Za-z]*\d){2})[A-Za-z0-9]{12,}/.test(id)

/** A use of a tool is one with its input, and with its turn where its id may come again in another. */
export const ofToolCall = (
  event: ToolUse,
  { earlierId, id, inputHash }: ToolCall,
  deliveryId: string | undefined,
  index: number,
  content: string
): Keys => {
  const turn = id === undefined || isUnique(id) ? undefined : event.promptId
  const wasUnique = earlierId !== undefined && isUnique(earlierId)
  return {
    key: keyOf(event, "tool", id, [inputHash, turn], deliveryId, index),
    earlierKeys: earlierKeys(event, "tool", earlierId, "", wasUnique ? undefined : content)
  }
}

/** An agent answers a prompt more than once: their text distinguishes them. */
export const ofAnswer = (event: Answer, deliveryId: string | undefined): Keys => {
  const kind = event.subagentId === undefined ? "answer" : "helper"
  const id = event.subagentId ?? event.promptId
  return {
    key: keyOf(event, kind, id, [event.text], deliveryId),
    earlierKeys: earlierKeys(event, kind, id, `:${fnv1a(event.text)}`)
  }
}

/** A long turn can be compacted more than once: the summary, without what clients put around it, distinguishes
 * them. */
export const ofCompaction = (event: Compaction, summary: string | undefined, deliveryId: string | undefined): Keys => {
  const kind = event.summary === undefined ? "compacting" : "compacted"
  return {
    key: keyOf(event, kind, event.promptId, [summary], deliveryId),
    earlierKeys: earlierKeys(event, kind, event.promptId, `:${fnv1a(event.summary ?? "")}`)
  }
}

export const ofInterruption = (event: Interruption, deliveryId: string | undefined): Keys => ({
  key: keyOf(event, "interruption", event.promptId, [], deliveryId)
})

/** Two ends of one session that come within this time, in milliseconds, and up to twice as much, are one. */
const endWindowMs = 10_000

/** An end without an id is one with those shortly before it: Gemini CLI sends two at its command to quit. */
export const ofSessionEnd = (event: SessionEnd, now: number): Keys => {
  if (event.promptId !== undefined) {
    return {
      key: keyOf(event, "end", event.promptId, [], undefined),
      earlierKeys: earlierKeys(event, "end", event.promptId)
    }
  }
  const slot = Math.floor((event.endedAtMs ?? now) / endWindowMs)
  const [key = "", before = ""] = [slot, slot - 1].map((n) => prefix(event, "end") + hashOf([`at ${n}`]))
  return { key, earlierKeys: [{ key: before }] }
}
