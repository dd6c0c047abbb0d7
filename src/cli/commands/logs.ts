/**
 * `athena logs`: the logs of the daemon and of hooks that ran without it.
 */
import * as Effect from "effect/Effect"
import * as Path from "effect/Path"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { hostPaths } from "../../host/paths.ts"
import * as LogReader from "../../logging/LogReader.ts"
import * as LogFile from "../../logging/LogFile.ts"
import * as LogWriter from "../../logging/LogWriter.ts"
import * as Database from "../../sql/Database.ts"
import * as LogText from "../../logging/LogText.ts"
import * as Output from "../output.ts"

/** The maximum number of files per log to read: `LogFile` may be configured to retain more than its default. */
const maxFiles = 100

const folder = Effect.map(Database.home, (home) => hostPaths(home).logs)

/** The paths of both logs, newest first. */
const pathsIn = (folder: string) =>
  Effect.map(Path.Path, (path) => ({
    athena: LogWriter.pathsOf(path, { folder, name: LogFile.filename, files: maxFiles }),
    shim: LogWriter.pathsOf(path, { folder, name: "shim.log", files: 2 })
  }))

const show = (lines: ReadonlyArray<LogText.Line>, json: boolean) =>
  Effect.forEach(lines, (line) => Output.text((json ? LogText.json(line) : undefined) ?? LogText.format(line)), {
    discard: true
  })

export const logs = Command.make(
  "logs",
  {
    lines: Flag.Int("lines").pipe(
      Flag.withDescription("Maximum number of lines, from 1 to 100000"),
      Flag.filter(
        (lines) => lines >= 1 && lines <= 100_000,
        () => "from 1 to 100000"
      ),
      Flag.withDefault(50)
    ),
    follow: Flag.Boolean("follow").pipe(
      Flag.withDescription("Continue with new lines until interrupted"),
      Flag.withDefault(false)
    ),
    level: Flag.Literals("level", ["trace", "debug", "info", "warn", "error", "fatal"]).pipe(
      Flag.withDescription("Minimum level"),
      Flag.withDefault("trace" as const)
    ),
    json: Output.json.pipe(Flag.withDescription("Print one JSON object per line; omit other lines"))
  },
  Effect.fnUntraced(function* ({ follow, json, level, lines }) {
    const paths = yield* pathsIn(yield* folder)
    const isWanted = (raw: string) => {
      const line = LogText.parse(raw)
      return LogText.isAtLeast(line, level) && (!json || LogText.json(line) !== undefined)
    }
    const athena = yield* LogReader.observe(paths.athena)
    const shim = yield* LogReader.observe(paths.shim)
    const last = LogText.merge(
      (yield* LogReader.tail(athena, lines, isWanted)).map(LogText.parse),
      (yield* LogReader.tail(shim, lines, isWanted)).map(LogText.parse)
    ).slice(-lines)
    yield* show(last, json)
    if (last.length === 0 && !json && !follow) yield* Output.text("the logs are empty")
    if (!follow) return

    const each = (raw: string) => (isWanted(raw) ? show([LogText.parse(raw)], json) : Effect.void)
    let positions = { athena: LogReader.endOf(athena), shim: LogReader.endOf(shim) }
    // Polling works on every file system; change notifications do not.
    for (;;) {
      yield* Effect.sleep("250 millis")
      positions = {
        athena: yield* LogReader.follow(yield* LogReader.observe(paths.athena), positions.athena, each),
        shim: yield* LogReader.follow(yield* LogReader.observe(paths.shim), positions.shim, each)
      }
    }
  })
).pipe(Command.withDescription("Show the logs of the daemon and of hooks that ran without it"))
