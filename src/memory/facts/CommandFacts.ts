/**
 * Rules over the commands of a session: commands that work, failures with their fixes, and errors.
 *
 * Nothing is derived from a call that was not carried out, and nothing about the availability of tools, the network or
 * permissions.
 *
 * @since 0.1.0
 */
import type { Evidence, Observation } from "./Fact.ts"
import { changedFiles, commandRun, type CommandRun, errorLine, isReading, type SessionEvent } from "./SessionEvent.ts"

/** The purposes of commands that are worth knowing, by their words. */
const purposes: ReadonlyArray<readonly [string, RegExp]> = [
  [
    "test",
    /(?:^|[\s:/._-])(?:tests?|spec|vitest|jest|pytest|nextest|rspec|phpunit|ctest|tox|xctest|testthat)(?:$|[\s:/._-])/i
  ],
  [
    "lint",
    /(?:^|[\s:/._-])(?:lint|eslint|oxlint|ruff|clippy|fmt|prettier|phpcs|credo|mypy|typecheck|check|checkstyle|swiftlint)(?:$|[\s:/._-])/i
  ],
  [
    "build",
    /(?:^|[\s:/._-])(?:build|compile|make|tsc|package|assemble|bundle|latexmk|cmake|xcodebuild)(?:$|[\s:/._-])/i
  ],
  ["run", /(?:^|[\s:/._-])(?:run|start|serve|dev|migrate)(?:$|[\s:/._-])/i]
]

/** Commands that a fact must not recommend: they publish, delete or change what others use. */
const unsafe =
  /(?:^|[\s;&|])(?:git|rm|sudo|kill|pkill|curl|wget|ssh|scp|rsync)\s|\b(?:deploy|publish|release|push|apply|destroy|drop|delete|prod(?:uction)?)\b/i

const purposeOf = (command: string): string | undefined =>
  isReading(command) || unsafe.test(command) || command.length > 160 || command.includes("\n")
    ? undefined
    : purposes.find(([, words]) => words.test(command))?.[0]

const evidenceOf = (events: ReadonlyArray<SessionEvent>): Evidence => ({
  sessionId: events[0]!.sessionId,
  ids: events.slice(-10).map(({ id }) => id),
  from: events[0]!.timestamp,
  at: events.at(-1)!.timestamp
})

const workingCommands = (runs: ReadonlyArray<CommandRun>): ReadonlyArray<Observation> =>
  [...Map.groupBy(runs, ({ key }) => key)].flatMap(([key, own]) => {
    const purpose = purposeOf(own[0]!.command)
    if (purpose === undefined) return []
    const lastSuccess = own.findLastIndex(({ error }) => error === undefined)
    const succeeded = own.filter(({ error }) => error === undefined).length
    return {
      kind: "command" as const,
      subject: key.slice(0, 200),
      text: `${purpose}: ${own.at(-1)!.command}`,
      source: "derived" as const,
      evidence: {
        ...evidenceOf(own.map(({ event }) => event)),
        succeeded,
        failed: own.length - succeeded,
        failing: own.length - 1 - lastSuccess
      }
    }
  })

/** Errors that report a missing tool, the network, or a permission. */
const availability =
  /command not found|not recognized as|no such file or directory$|permission denied|operation not permitted|EACCES|EPERM|ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EHOSTUNREACH|could not resolve|network is unreachable|connection (?:refused|reset|timed out)|sandbox|unauthorized|authentication|forbidden|rate limit|ENOSPC|no space left/i

/**
 * The key of an error: its line without paths, numbers, hashes and quotes. The same error of two runs has one key.
 *
 * @category combinators
 * @since 0.1.0
 */
export const errorKey = (error: string): string =>
  errorLine(error)
    .toLowerCase()
    .replace(/\S*[/\\]\S*/g, "F")
    .replace(/\b(?=[0-9a-f]*\d)[0-9a-f]{7,40}\b/g, "H")
    .replace(/\d+/g, "N")
    .replace(/["'`«»“”]/g, "")
    .replace(/\s+/g, " ")
    .trim()
    .slice(0, 200)

/** A failed check of style is routine. */
const isKnowable = ({ command, error }: CommandRun): boolean =>
  error !== undefined &&
  purposeOf(command) !== "lint" &&
  !availability.test(errorLine(error)) &&
  /\p{L}{3}/u.test(errorKey(error))

/** The bounds between a failure and its fix. */
const maxCalls = 20
const maxTime = 30 * 60_000

interface Fix {
  readonly failure: CommandRun
  readonly success: CommandRun
  readonly files: ReadonlyArray<string>
}

/**
 * The fixes of one command: each failure whose error does not occur again before the next success, with the files that
 * changed between it and the next run. `undefined` for a flaky command, which succeeds without a change.
 */
const fixesOf = (
  events: ReadonlyArray<SessionEvent>,
  runs: ReadonlyArray<CommandRun>
): ReadonlyArray<Fix> | undefined => {
  const fixes: Array<Fix> = []
  for (const [index, failure] of runs.entries()) {
    if (failure.error === undefined) continue
    const success = runs.slice(index + 1).find(({ error }) => error === undefined)
    if (success === undefined) break
    const between = (to: CommandRun) => events.slice(events.indexOf(failure.event) + 1, events.indexOf(to.event))
    const next = runs[index + 1]!
    const files = changedFiles(between(next))
    if (next === success && files.length === 0) return undefined
    const isLast = runs
      .slice(index + 1, runs.indexOf(success))
      .every(({ error }) => errorKey(error!) !== errorKey(failure.error!))
    const isNear =
      between(success).filter(({ type }) => type === "tool_execution").length <= maxCalls &&
      success.event.timestamp - failure.event.timestamp <= maxTime
    if (isLast && isNear && files.length > 0 && isKnowable(failure)) fixes.push({ failure, success, files })
  }
  return fixes
}

const fixes = (events: ReadonlyArray<SessionEvent>, runs: ReadonlyArray<CommandRun>): ReadonlyArray<Observation> =>
  [...Map.groupBy(runs, ({ key }) => key).values()]
    .flatMap((own) => fixesOf(events, own) ?? [])
    .map(({ failure, files, success }) => ({
      kind: "fix",
      subject: errorKey(failure.error!),
      text: `${failure.command.slice(0, 120).toWellFormed()} failed: ${errorLine(failure.error!)}; succeeded after changes of ${files.slice(0, 4).join(", ")}`,
      source: "derived",
      evidence: evidenceOf([failure.event, success.event])
    }))

const errors = (runs: ReadonlyArray<CommandRun>): ReadonlyArray<Observation> =>
  runs.filter(isKnowable).map(({ command, error, event }) => ({
    kind: "error",
    subject: errorKey(error!),
    text: `${command.slice(0, 120).toWellFormed()}: ${errorLine(error!)}`,
    source: "derived",
    evidence: evidenceOf([event])
  }))

/**
 * The facts that the commands of one session show, from its events, oldest first.
 *
 * @category combinators
 * @since 0.1.0
 */
export const observe = (events: ReadonlyArray<SessionEvent>): ReadonlyArray<Observation> => {
  const runs = events.map(commandRun).filter((run) => run !== undefined)
  return [...workingCommands(runs), ...fixes(events, runs), ...errors(runs)]
}
