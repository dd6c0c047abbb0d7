/**
 * How each agent treats injected context, as observed with the real clients.
 */

export interface AgentContext {
  /**
   * The event that carries the start's context. Gemini CLI puts the context of its SessionStart before the prompt and
   * drops both on resume.
   */
  readonly startContext: "sessionStart" | "firstPrompt"
  /** Whether injected context is still in the history after a resume. */
  readonly survivesResume: boolean
}

const agents: Readonly<Record<string, AgentContext>> = {
  "claude-code": { startContext: "sessionStart", survivesResume: true },
  codex: { startContext: "sessionStart", survivesResume: true },
  "gemini-cli": { startContext: "firstPrompt", survivesResume: false },
  "qwen-code": { startContext: "sessionStart", survivesResume: false }
}

/** The behaviour of an agent; an unknown agent is treated as Claude Code. */
export const agentContext = (agent: string): AgentContext =>
  Object.hasOwn(agents, agent) ? agents[agent]! : agents["claude-code"]!
