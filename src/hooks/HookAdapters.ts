/**
 * The adapters of all agents that are known, by the names that `athena hook --agent` takes.
 *
 * @since 0.1.0
 */
import * as ClaudeCode from "./adapters/ClaudeCode.ts"
import * as Codex from "./adapters/Codex.ts"
import * as GeminiCli from "./adapters/GeminiCli.ts"
import type { HookAdapter } from "./HookAdapter.ts"
import * as QwenCode from "./adapters/QwenCode.ts"

/**
 * The adapters by name.
 *
 * @category constants
 * @since 0.1.0
 */
export const byName: Readonly<Record<"claude" | "codex" | "gemini" | "qwen", HookAdapter>> = {
  claude: ClaudeCode,
  codex: Codex,
  gemini: GeminiCli,
  qwen: QwenCode
}

/**
 * The adapter of a name; `undefined` where there is none.
 *
 * @category accessors
 * @since 0.1.0
 */
export const find = (name: string): HookAdapter | undefined =>
  Object.hasOwn(byName, name) ? byName[name as keyof typeof byName] : undefined
