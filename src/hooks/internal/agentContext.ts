/**
 * What becomes of the context that hooks give, agent by agent, as the clients were watched to do.
 */

export interface AgentContext {
  /**
   * Where the context of a session's start is given: at the start, or with the first prompt after it. Gemini CLI puts the
   * context of its start before the prompt and drops both when the session is taken up again.
   */
  readonly startContext: "sessionStart" | "firstPrompt"
  /** Whether a session that is taken up again still has the context it was given before. */
  readonly survivesResume: boolean
}

const agents: Readonly<Record<string, AgentContext>> = {
  "claude-code": { startContext: "sessionStart", survivesResume: true },
  codex: { startContext: "sessionStart", survivesResume: true },
  "gemini-cli": { startContext: "firstPrompt", survivesResume: false },
  "qwen-code": { startContext: "sessionStart", survivesResume: false }
}

/** That of an agent; an unknown one is taken to do as Claude Code does. */
export const agentContext = (agent: string): AgentContext =>
  Object.hasOwn(agents, agent) ? agents[agent]! : agents["claude-code"]!
