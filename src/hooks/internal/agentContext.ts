/**
 * How each agent treats injected context and the end of a session, as observed with the real clients.
 */

export interface AgentContext {
  /**
   * The event that carries the start's context. Gemini CLI puts the context of its SessionStart before the prompt and
   * drops both on resume.
   */
  readonly startContext: "sessionStart" | "firstPrompt"
  /** Whether injected context is still in the history after a resume. */
  readonly survivesResume: boolean
  /** Whether one end of a session is sent twice. */
  readonly endsTwice: boolean
}

const agents: Readonly<Record<string, AgentContext>> = {
  "claude-code": { startContext: "sessionStart", survivesResume: true, endsTwice: false },
  codex: { startContext: "sessionStart", survivesResume: true, endsTwice: false },
  "gemini-cli": { startContext: "firstPrompt", survivesResume: false, endsTwice: true },
  "qwen-code": { startContext: "sessionStart", survivesResume: false, endsTwice: false }
}

/** The behaviour of an agent; an unknown agent is treated as Claude Code. */
export const agentContext = (agent: string): AgentContext =>
  Object.hasOwn(agents, agent) ? agents[agent]! : agents["claude-code"]!
