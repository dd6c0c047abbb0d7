/**
 * The events of a session as the rules of facts read them, and their groups: exchanges and tool calls.
 *
 * @since 0.1.0
 */
import { refusal } from "../../internal/refusals.ts"
import * as PromptOrigin from "../PromptOrigin.ts"

/**
 * A recorded event, in plain values.
 *
 * @category models
 * @since 0.1.0
 */
export interface SessionEvent {
  readonly id: number
  readonly sessionId: string
  readonly type: string
  readonly content: string
  readonly outcome: string | null
  readonly files: ReadonlyArray<string>
  readonly filesChanged: number
  /** Milliseconds since 1970. */
  readonly timestamp: number
  /** The worktree, which file names are shown relative to. */
  readonly worktreePath: string | null
}

/**
 * A prompt with the events up to the next one. The first exchange of a session may have no prompt.
 *
 * @category models
 * @since 0.1.0
 */
export interface Exchange {
  readonly prompt: SessionEvent | undefined
  readonly events: ReadonlyArray<SessionEvent>
}

/**
 * Whether a user wrote the text of a prompt. Earlier releases stored generated texts as prompts.
 *
 * @category combinators
 * @since 0.1.0
 */
export const isUserPrompt = (event: SessionEvent): boolean =>
  event.type === "user_question" && !PromptOrigin.isGenerated(event.content)

/**
 * Groups the events of one session, oldest first, into exchanges.
 *
 * @category combinators
 * @since 0.1.0
 */
export const exchanges = (events: ReadonlyArray<SessionEvent>): ReadonlyArray<Exchange> => {
  const groups: Array<{ readonly prompt: SessionEvent | undefined; readonly events: Array<SessionEvent> }> = []
  for (const event of events) {
    if (isUserPrompt(event)) groups.push({ prompt: event, events: [] })
    else if (groups.length === 0) groups.push({ prompt: undefined, events: [event] })
    else groups.at(-1)!.events.push(event)
  }
  return groups
}

/**
 * The call of a shell.
 *
 * @category models
 * @since 0.1.0
 */
export interface CommandRun {
  readonly event: SessionEvent
  readonly command: string
  /** The command without what differs from run to run: the same for two runs of one command. */
  readonly key: string
  /** `undefined` for a success. */
  readonly error: string | undefined
}

const shells: ReadonlySet<string> = new Set([
  "Bash",
  "exec_command",
  "local_shell",
  "run_shell_command",
  "shell",
  "shell_command",
  "unified_exec"
])

/** Removes what does not identify a command: the folder, assignments, redirections, a filter of the output, white space. */
const simplified = (command: string): string =>
  command
    .replace(/^\s*(?:cd\s+(?:"[^"]*"|'[^']*'|[^\s;&|]+)\s*(?:&&|;)\s*)+/, "")
    .replace(/^\s*(?:[A-Za-z_]\w*=(?:"[^"]*"|'[^']*'|\S*)\s+)+/, "")
    .replace(/\s*(?:\|\s*(?:tail|head|cat|less|tee)\b[^|;&]*)+$/, "")
    .replace(/\s*(?:[12]?>>?|&>)\s*(?:&[12]|\S+)/g, "")
    .replace(/\s+/g, " ")
    .trim()

/**
 * The key of a command: temporary folders, long numbers and hashes are reduced.
 *
 * @category combinators
 * @since 0.1.0
 */
export const commandKey = (command: string): string =>
  simplified(command)
    .replace(/(?:\/private)?\/(?:tmp|var\/folders|var\/tmp)\/[^\s"']+/g, "TMP")
    .replace(/\b(?=[0-9a-f]*\d)[0-9a-f]{7,40}\b/gi, "HASH")
    .replace(/\d{4,}/g, "N")

/**
 * The run of a command in an event: `undefined` for another tool, an unknown outcome, and a call that was not carried
 * out, such as a denied one.
 *
 * @category combinators
 * @since 0.1.0
 */
export const commandRun = (event: SessionEvent): CommandRun | undefined => {
  if (event.type !== "tool_execution" || (event.outcome !== "success" && event.outcome !== "failure")) return undefined
  const colon = event.content.indexOf(": ")
  if (colon < 0 || !shells.has(event.content.slice(0, colon))) return undefined
  const failed = event.content.indexOf("\nfailed: ")
  const command = simplified(event.content.slice(colon + 2, failed < 0 ? undefined : failed))
  if (command === "") return undefined
  const key = commandKey(command)
  if (event.outcome === "success") return { event, command, key, error: undefined }
  const error = failed < 0 ? "" : event.content.slice(failed + "\nfailed: ".length)
  return refusal(error) === undefined ? { event, command, key, error } : undefined
}

/**
 * Whether a success of one command covers a failure of another: the same command, or one with more or fewer arguments.
 *
 * @category combinators
 * @since 0.1.0
 */
export const covers = (success: CommandRun, failure: CommandRun): boolean =>
  success.key === failure.key || success.key.startsWith(`${failure.key} `) || failure.key.startsWith(`${success.key} `)

/**
 * The part of an error that says most, on one line: the first line that names an error, else the first one. At most 200
 * UTF-16 units.
 *
 * @category combinators
 * @since 0.1.0
 */
export const errorLine = (error: string): string => {
  const lines = error
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !/^(?:Error: )?Exit code:? \d+$/i.test(line))
  const flat = lines.join(" ")
  if (flat.length <= 200) return flat
  const at = lines.findIndex((line) =>
    /error|exception|fail|fatal|panic|expected|denied|not found|ошибк|错误|エラー/i.test(line)
  )
  return lines.slice(Math.max(at, 0)).join(" ").slice(0, 200).toWellFormed()
}

/**
 * A file relative to its worktree.
 *
 * @category combinators
 * @since 0.1.0
 */
export const relativeFile = (file: string, worktreePath: string | null): string =>
  worktreePath !== null && file.startsWith(`${worktreePath}/`) ? file.slice(worktreePath.length + 1) : file

/**
 * The files that the events changed, the most often changed first.
 *
 * @category combinators
 * @since 0.1.0
 */
export const changedFiles = (events: ReadonlyArray<SessionEvent>): ReadonlyArray<string> => {
  const counts = new Map<string, number>()
  for (const { files, filesChanged, outcome, worktreePath } of events) {
    if (filesChanged === 0 || outcome === "failure") continue
    for (const file of files) {
      const name = relativeFile(file, worktreePath)
      counts.set(name, (counts.get(name) ?? 0) + 1)
    }
  }
  return [...counts].toSorted(([, a], [, b]) => b - a).map(([file]) => file)
}

/**
 * The distinct words of a text, in lower case; characters of scripts without spaces count as words.
 *
 * @category combinators
 * @since 0.1.0
 */
export const wordsOf = (text: string): ReadonlySet<string> =>
  new Set(text.toLowerCase().match(/[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]|[\p{L}\p{N}]+/gu))

/** The beginnings of commands that only read. */
const reading =
  /^(?:sudo )?(?:ls|cat|head|tail|less|grep|egrep|rg|ag|find|fd|which|where|type|stat|file|test|\[|pwd|echo|ps|kill|pkill|git (?:status|diff|log|show|branch|rev-parse|grep|ls-files)|command -v)\b/

/**
 * Whether a command only reads: its failure leaves no work, and its success proves nothing.
 *
 * @category combinators
 * @since 0.1.0
 */
export const isReading = (command: string): boolean => reading.test(command)
