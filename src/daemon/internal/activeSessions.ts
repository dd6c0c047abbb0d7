/**
 * Which sessions are open: those that have told something and not that they have ended. While a person is at lunch their
 * session says nothing, and what it posts then must find somebody. It counts those of the agents that post; the
 * others run a command, which can do without.
 */
import * as Duration from "effect/Duration"
import * as ClaudeCode from "../../hooks/adapters/ClaudeCode.ts"
import type { HookEvent } from "../../hooks/HookEvent.ts"
import * as QwenCode from "../../hooks/adapters/QwenCode.ts"

const postingAgents: ReadonlySet<string> = new Set([ClaudeCode.agent, QwenCode.agent])

/** An agent that was killed does not say that its session has ended. */
const expiresAfter = Duration.toMillis("3 days")

/** Sessions that are remembered; those that were silent for longest are forgotten first. */
const maxSessions = 1_000

export interface ActiveSessions {
  readonly record: (event: HookEvent, now: number) => void
  /** How many there are, by a clock in milliseconds that does not jump. */
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
