/**
 * The variables in which agents tell their hooks the folder they were started in. Without any import: the shim, which
 * must start at once, is built from it too.
 */
export const projectVariables = {
  claude: "CLAUDE_PROJECT_DIR",
  codex: undefined,
  gemini: "GEMINI_PROJECT_DIR",
  qwen: "QWEN_PROJECT_DIR"
} as const
