/**
 * Whether a tool succeeded, from what the agents report: by fields where there are any, else by the
 * sentences of the clients. A command's own output is not taken for a sentence of its client where they can be
 * distinguished: the client's stands at the very beginning or the very end.
 */
import { maxInspectedLength, refusal } from "../../internal/refusals.ts"

export { refusal }

/** `unknown` where the agent does not report it. */
export type ToolOutcome =
  | { readonly outcome: "success" | "unknown" }
  | { readonly outcome: "failure"; readonly error: string }

export const success: ToolOutcome = { outcome: "success" }

export const unknown: ToolOutcome = { outcome: "unknown" }

/** The error is the whole text: only the redactor truncates it, because half a secret is not recognised as one. */
export const failure = (error: string): ToolOutcome => ({
  outcome: "failure",
  error: error.trim() === "" ? "failed" : error
})

type Fields = Readonly<Record<string, unknown>>

export const isRecord = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const textOfBlock = (value: unknown): string =>
  typeof value === "string" ? value : isRecord(value) && typeof value["text"] === "string" ? value["text"] : ""

/** The text of a response: itself, or that of its blocks. */
export const textOf = (response: unknown): string | undefined => {
  if (typeof response === "string") return response
  if (Array.isArray(response)) return response.slice(0, 100).map(textOfBlock).join("\n")
  if (!isRecord(response)) return undefined
  for (const name of ["llmContent", "content", "output", "text"]) {
    const value = response[name]
    if (typeof value === "string" || Array.isArray(value)) return textOf(value)
  }
  return undefined
}

/** What a tool of the agent's own or of an MCP server says of an error in fields. */
export const errorField = (response: unknown): string | undefined => {
  if (!isRecord(response)) return undefined
  const { error } = response
  if (typeof error === "string" && error !== "") return error
  if (isRecord(error)) return typeof error["message"] === "string" ? error["message"] : "failed"
  if (response["is_error"] === true || response["isError"] === true) return textOf(response) ?? "failed"
  if (response["interrupted"] === true) return "interrupted"
  return undefined
}

/** An error's name at the beginning: it says something only of a tool whose own text could not begin so. */
export const namedError = (text: string): string | undefined => {
  const whole = text.trimStart()
  return /^(?:[A-Z][A-Za-z]{0,60})?Error(?: \[\w+\])?: |^E[A-Z]{3,20}: /.test(whole) ? whole : undefined
}

/** What stands at the end of what a shell tool of Gemini CLI and Qwen Code says, line by line. */
const exitTrailer =
  /(?:^|\n)(?:Error: (?<error>[^\n]*)\n)?Exit Code: (?<code>-?\d+|\(none\))(?:\nSignal: (?<signal>[^\n]*))?(?:\nBackground PIDs: [^\n]*)?(?:\nProcess Group PGID: [^\n]*)?\s*(?:<\/untrusted_context>)?\s*$/

const signalTrailer =
  /(?:^|\n)Signal: (?<signal>[^\n]+)(?:\nBackground PIDs: [^\n]*)?(?:\nProcess Group PGID: [^\n]*)?\s*(?:<\/untrusted_context>)?\s*$/

/** What was displayed is the command's own output: a line of it is none of the client's. */
const withoutOutput = (text: string, display: unknown): string => {
  if (typeof display !== "string" || display.trim() === "") return text
  const output = display.trim()
  const at = text.lastIndexOf(`Output: ${output}`)
  return at < 0 ? text : text.slice(at + "Output: ".length + output.length)
}

/** How the shell tools of Gemini CLI and Qwen Code report a command. */
export const shellReport = (text: string, display: unknown): ToolOutcome => {
  const shown = typeof display === "string" ? display : ""
  if (/^Command (?:was )?(?:automatically )?cancell?ed\b/.test(text)) return failure(text)
  // Displayed where the command itself printed nothing.
  if (/^Command (?:exited with code: (?!0\s*$)-?\d+|terminated by signal: |cancell?ed by user|failed: )/.test(shown)) {
    return failure(shown)
  }
  const tail = withoutOutput(text, display).slice(-maxInspectedLength)
  const found = exitTrailer.exec(tail)?.groups ?? signalTrailer.exec(tail)?.groups
  if (found === undefined) return success
  const { code, signal } = found
  const signalled = signal !== undefined && signal !== "(none)"
  if ((code === undefined || code === "0" || code === "(none)") && !signalled) return success
  return failure(text)
}

const shellTools: ReadonlySet<string> = new Set(["run_shell_command", "shell"])

/** What Gemini CLI reports after a tool. */
export const ofGemini = (tool: string, response: unknown): ToolOutcome => {
  const error = errorField(response)
  if (error !== undefined) return failure(error)
  const text = textOf(response)
  if (text === undefined) return success
  if (shellTools.has(tool)) return shellReport(text, isRecord(response) ? response["returnDisplay"] : undefined)
  const refused = refusal(text)
  return refused === undefined ? success : failure(refused)
}

const functionResponse = (response: Fields): Fields | undefined => {
  const [part] = Array.isArray(response["response_parts"]) ? (response["response_parts"] as ReadonlyArray<unknown>) : []
  const own = isRecord(part) && isRecord(part["functionResponse"]) ? part["functionResponse"]["response"] : undefined
  return isRecord(own) ? own : undefined
}

/** What Qwen Code reports after a tool, or of one in a batch, where `status` says how it ended. */
export const ofQwen = (tool: string, response: unknown, status?: string): ToolOutcome => {
  const own = isRecord(response) ? functionResponse(response) : undefined
  const error = errorField(response) ?? errorField(own)
  if (error !== undefined) return failure(error)
  const execution = isRecord(response) ? response["execution_status"] : undefined
  const text = textOf(own) ?? textOf(response)
  if ((status !== undefined && status !== "success") || (typeof execution === "string" && execution !== "success")) {
    return failure(text ?? status ?? String(execution))
  }
  if (text === undefined) return success
  const display = isRecord(response) ? (response["result_display"] ?? response["returnDisplay"]) : undefined
  if (shellTools.has(tool)) return shellReport(text, display)
  const refused = refusal(text)
  return refused === undefined ? success : failure(refused)
}

const codexShells: ReadonlySet<string> = new Set([
  "Bash",
  "exec_command",
  "local_shell",
  "shell",
  "shell_command",
  "unified_exec",
  "write_stdin"
])

/** What Codex puts before an output in some of its formats. */
const codexHeader =
  /^(?:Chunk ID: [^\n]*\n)?(?:Exit code: (?<code>-?\d+)\n)?Wall time: [^\n]*\n(?:Process exited with code (?<exited>-?\d+)\n)?/

const codexFailure =
  /^(?:command timed out after \d|failed in sandbox: |execution error: |exec_command failed\b|apply_patch verification failed: |sandbox denied |Rejected\()/

const metadataOf = (text: string): Fields | undefined => {
  if (!/^\{\s*"(?:output|metadata)"/.test(text)) return undefined
  try {
    const parsed = JSON.parse(text) as unknown
    return isRecord(parsed) && isRecord(parsed["metadata"]) ? parsed : undefined
  } catch {
    return undefined
  }
}

/** What Codex reports after a tool. Of most commands that is the bare output, which says nothing of how they ended. */
export const ofCodex = (tool: string, response: unknown): ToolOutcome => {
  const error = errorField(response)
  if (error !== undefined) return failure(error)
  const isShell = codexShells.has(tool)
  const unreported = isShell ? unknown : success
  const text = textOf(response)
  const metadata = isRecord(response) ? response : metadataOf(text ?? "")
  const ending = metadata?.["metadata"] ?? metadata
  const code = isRecord(ending) ? (ending["exit_code"] ?? ending["exitCode"]) : undefined
  if (typeof code === "number") return code === 0 ? success : failure(textOf(metadata) ?? `exit code ${code}`)
  if (text === undefined) return unreported
  const refused = refusal(text)
  if (refused !== undefined) return failure(refused)
  if (codexFailure.test(text)) return failure(text)
  const header = codexHeader.exec(text)
  const exit = header?.groups?.["code"] ?? header?.groups?.["exited"]
  if (exit !== undefined) return exit === "0" ? success : failure(text)
  if (header !== null && /^(?:Output:\n)?aborted by user\b/.test(text.slice(header[0].length))) {
    return failure("aborted by user")
  }
  return unreported
}

/** What a response of one of these begins with is the client's sentence and not what a command, file or page says. */
const toolsWithFixedResponses: ReadonlySet<string> = new Set([
  "Edit",
  "ExitPlanMode",
  "MultiEdit",
  "NotebookEdit",
  "TodoWrite",
  "Write"
])

/** What Claude Code reports after a tool, or of one in a batch. */
export const ofClaude = (tool: string, response: unknown): ToolOutcome => {
  const error = errorField(response)
  if (error !== undefined) return failure(error)
  const text = typeof response === "string" || Array.isArray(response) ? textOf(response) : undefined
  if (text === undefined) return success
  const refused = refusal(text)
  if (refused !== undefined) return failure(refused)
  if (tool === "Bash" && /^(?:Error: )?Exit code [1-9]\d{0,9}(?:\n|$)/.test(text)) return failure(text)
  const named = toolsWithFixedResponses.has(tool) ? namedError(text) : undefined
  return named === undefined ? success : failure(named)
}
