/**
 * Counts the active sessions: those with an event and no end. A session without activity still needs the daemon for its
 * next post. Sessions of agents that run a command are not counted: a command works without the daemon.
 */
import * as Duration from "effect/Duration"
import * as ClaudeCode from "../../hooks/adapters/ClaudeCode.ts"
import type { HookEvent } from "../../hooks/HookEvent.ts"
import * as QwenCode from "../../hooks/adapters/QwenCode.ts"

const postingAgents: ReadonlySet<string> = new Set([ClaudeCode.agent, QwenCode.agent])

/** A killed agent sends no end of its session. */
const expiresAfter = Duration.toMillis("3 days")

/** Least recently active sessions are evicted first. */
const maxSessions = 1_000

export interface ActiveSessions {
  readonly record: (event: HookEvent, now: number) => void
  /** At a time of the monotonic clock, in milliseconds. */
  readonly count: (now: number) => number
}

export const make = (): ActiveSessions => {
  const lastEventAt = new Map<string, number>()
  return {
    record: ({ _tag, agent, sessionId }, now) => {
      if (!postingAgents.has(agent) || _tag === "Ignored") return
      lastEventAt.delete(sessionId)
      if (_tag === "SessionEnd") return
      if (lastEventAt.size >= maxSessions) lastEventAt.delete(lastEventAt.keys().next().value!)
      lastEventAt.set(sessionId, now)
    },
    count: (now) => {
      for (const [key, at] of lastEventAt) {
        if (now - at < expiresAfter) break
        lastEventAt.delete(key)
      }
      return lastEventAt.size
    }
  }
}
