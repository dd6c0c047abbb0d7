/**
 * Event keys: equal for every delivery of an event, and different for different events.
 *
 * A key contains the agent, the kind, the session, and a hash over the id and the fields that every delivery shares: a
 * prompt's text, a tool and its input. The id alone is not enough: some providers restart tool ids at each turn, and a
 * user can send two prompts in one turn.
 *
 * An event stored under a key of an earlier release is not stored again, see `MemoryEvent.earlierKeys`.
 */
import { fnv1a } from "../../internal/fnv1a.ts"
import { sha256 } from "../../internal/sha256.ts"
import { agentContext } from "./agentContext.ts"
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
  /** `undefined` if neither the agent nor the delivery has an id. */
  readonly key: string | undefined
  readonly earlierKeys?: ReadonlyArray<EarlierKey> | undefined
}

/** The longest session id that a key contains unhashed; the key's column has 255 characters. */
const maxSessionLength = 96

/** The longest id in keys of earlier releases. */
const maxEarlierIdLength = 96

/** The length of content compared with a row under an ambiguous earlier key, in UTF-16 units. */
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

/** The keys of earlier releases; none for an id that they rejected. */
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

/** A timestamp, which is Gemini CLI's id, belongs to one prompt only. */
const isTimestamp = (id: string | undefined): boolean => id !== undefined && /^\d{4}-\d\d-\d\dT/.test(id)

/** The text is part of a prompt's identity; a notification has the id of the prompt before it. */
export const ofPrompt = (event: Prompt, deliveryId: string | undefined, content: string): Keys => {
  const { isFromUser: fromPerson, promptId, text } = event
  const asPrompt = earlierKeys(event, "prompt", promptId, "", isTimestamp(promptId) ? undefined : content)
  if (fromPerson) return { key: keyOf(event, "prompt", promptId, [text], deliveryId), earlierKeys: asPrompt }
  return {
    // Some notifications have no id.
    key: keyOf(event, "notification", promptId ?? "", [text], deliveryId),
    earlierKeys: [...earlierKeys(event, "notification", "", fnv1a(text)), ...asPrompt]
  }
}

/** Whether an id can't recur in another turn: it has a random or time-based part, not only a counter. */
const isUnique = (id: string): boolean => /(?=(?:[A-Za-z]*\d){2})[A-Za-z0-9]{12,}/.test(id)

/** The input is part of a call's identity, and so is the turn if the id may recur in another turn. */
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

/** The text distinguishes several answers to one prompt. */
export const ofAnswer = (event: Answer, deliveryId: string | undefined): Keys => {
  const kind = event.subagentId === undefined ? "answer" : "helper"
  const id = event.subagentId ?? event.promptId
  return {
    key: keyOf(event, kind, id, [event.text], deliveryId),
    earlierKeys: earlierKeys(event, kind, id, `:${fnv1a(event.text)}`)
  }
}

/** The normalised summary distinguishes several compactions within one turn. */
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

/** Session ends within this time, in milliseconds, and up to twice as much, are one event. */
const endWindowMs = 10_000

/**
 * Gemini CLI sends two session ends on `/quit`, without an id: they are deduplicated by time. Another agent's session may
 * end again shortly after a resume, so its ends are distinguished by their deliveries.
 */
export const ofSessionEnd = (event: SessionEnd, deliveryId: string | undefined, now: number): Keys => {
  if (event.promptId !== undefined) {
    return {
      key: keyOf(event, "end", event.promptId, [], undefined),
      earlierKeys: earlierKeys(event, "end", event.promptId)
    }
  }
  if (deliveryId !== undefined && !agentContext(event.agent).endsTwice) {
    return { key: keyOf(event, "end", undefined, [], deliveryId) }
  }
  const slot = Math.floor((event.endedAtMs ?? now) / endWindowMs)
  const [key = "", before = ""] = [slot, slot - 1].map((n) => prefix(event, "end") + hashOf([`at ${n}`]))
  return { key, earlierKeys: [{ key: before }] }
}
