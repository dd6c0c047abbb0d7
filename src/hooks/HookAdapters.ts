/**
 * The adapters of all supported agents, under the names that `athena hook --agent` accepts.
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
 * The adapter with a name; `undefined` if none has it.
 *
 * @category accessors
 * @since 0.1.0
 */
export const find = (name: string): HookAdapter | undefined =>
  Object.hasOwn(byName, name) ? byName[name as keyof typeof byName] : undefined
