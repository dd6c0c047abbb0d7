/**
 * The environment variables in which agents pass the project's folder to their hooks. No imports: the shim includes this
 * module and must start fast.
 */
export const projectVariables = {
  claude: "CLAUDE_PROJECT_DIR",
  codex: undefined,
  gemini: "GEMINI_PROJECT_DIR",
  qwen: "QWEN_PROJECT_DIR"
} as const
