/**
 * `athena logs`, on files as the daemon and the shim leave them, and while they are moved.
 */
import { execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as LogReader from "../../src/logging/LogReader.ts"
import * as Cli from "../utils/Cli.ts"
import * as TempFolder from "../utils/TempFolder.ts"

const at = (second: number) => `2030-01-01T00:00:${String(second).padStart(2, "0")}.000Z`

const line = (second: number, level: string, message: unknown, more: object = {}) =>
  JSON.stringify({ time: at(second), level, message, ...more })

const logsOf = (home: string) => {
  const folder = path.join(home, "daemon", "logs")
  fs.mkdirSync(folder, { recursive: true })
  return folder
}

const write = (folder: string, name: string, lines: ReadonlyArray<string>) =>
  fs.writeFileSync(path.join(folder, name), lines.map((line) => `${line}\n`).join(""))

describe("athena logs", () => {
  it.live("shows the last lines of both logs in the order of their times, one line each", () =>
    Effect.gen(function* () {
      const { env, home } = yield* Cli.scratch
      assert.strictEqual((yield* Cli.run(["logs"], { env })).stdout, "the logs are empty\n")
      const folder = logsOf(home)
      write(folder, "athena.log.2", [line(1, "INFO", "oldest")])
      write(folder, "athena.log.1", [line(2, "INFO", "older"), line(3, "DEBUG", "quiet")])
      write(folder, "athena.log", [
        line(5, "INFO", "started", { annotations: { port: 21_234, path: "a b" }, cause: "Error: no\n    at x" }),
        `damaged \u001b[2J`,
        line(7, "ERROR", "bad \u001b[31m\u202e\n")
      ])
      write(folder, "shim.log.1", [JSON.stringify({ time: at(4), event: "Stop", reason: "refused" })])
      write(folder, "shim.log", [JSON.stringify({ time: at(6), event: "SessionEnd", reason: "too slow" })])
      const shown = yield* Cli.run(["logs"], { env })
      assert.deepStrictEqual(shown.stdout.split("\n"), [
        `${at(1)} INFO  oldest`,
        `${at(2)} INFO  older`,
        `${at(3)} DEBUG quiet`,
        `${at(4)} WARN  responded without the daemon: refused event=Stop`,
        `${at(5)} INFO  started port=21234 path="a b" cause="Error: no\\n    at x"`,
        "damaged \\u001b[2J",
        `${at(6)} WARN  responded without the daemon: too slow event=SessionEnd`,
        `${at(7)} ERROR bad \\u001b[31m\\u202e\\n`,
        ""
      ])
      const last = yield* Cli.run(["logs", "--lines", "2", "--level", "warn", "--json"], { env })
      assert.deepStrictEqual(last.stdout.split("\n"), [
        JSON.stringify({ time: at(6), event: "SessionEnd", reason: "too slow" }),
        line(7, "ERROR", "bad \u001b[31m\u202e\n").replace("\u202e", "\\u202e"),
        ""
      ])
    })
  )

  it.live("escapes control and invisible characters and omits lines that are not JSON", () =>
    Effect.gen(function* () {
      const { env, home } = yield* Cli.scratch
      const folder = logsOf(home)
      const odd =
        "\u009b2J \u061c \u200b\u200c\u200d\u200e\u200f \u2028\u202a\u202e \u2060\u2066\u2067\u2068\u2069 \ufeff"
      write(folder, "athena.log", [
        line(1, "INFO", `a ${odd}`, { [`k${odd}`]: odd }),
        "\u001b[31mdamaged",
        "[1]",
        '"text"',
        "null",
        `{"time":1,"message":"${odd}"`,
        `  { "other" : "${odd}" }`
      ])
      const hidden = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/
      const shown = yield* Cli.run(["logs"], { env })
      assert.strictEqual(shown.stdout.trimEnd().split("\n").length, 7)
      assert.notMatch(shown.stdout, hidden)
      assert.include(shown.stdout, "a \\u009b2J \\u061c \\u200b")
      const json = yield* Cli.run(["logs", "--json", "--lines", "2"], { env })
      assert.notMatch(json.stdout, hidden)
      const values = json.stdout
        .trimEnd()
        .split("\n")
        .map((text) => JSON.parse(text))
      assert.deepStrictEqual(values, [
        { time: at(1), level: "INFO", message: `a ${odd}`, [`k${odd}`]: odd },
        { other: odd }
      ])
    })
  )

  it.live("reads regular files only", () =>
    Effect.gen(function* () {
      const { env, home } = yield* Cli.scratch
      const folder = logsOf(home)
      execFileSync("mkfifo", [path.join(folder, "athena.log")])
      fs.symlinkSync("/dev/zero", path.join(folder, "shim.log"))
      write(folder, "athena.log.1", [line(1, "INFO", "older")])
      assert.strictEqual((yield* Cli.run(["logs"], { env })).stdout, `${at(1)} INFO  older\n`)
    })
  )

  it.live("follows new lines across rotation", () =>
    Effect.gen(function* () {
      const { env, home } = yield* Cli.scratch
      const folder = logsOf(home)
      const file = path.join(folder, "athena.log")
      write(folder, "athena.log", [line(1, "INFO", "first")])
      const child = yield* Effect.acquireRelease(
        Effect.sync(() => spawn(process.execPath, [Cli.bin, "logs", "--follow"], { env: { ...process.env, ...env } })),
        (child) => Effect.sync(() => child.kill("SIGKILL"))
      )
      let shown = ""
      let seen: (() => void) | undefined
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        shown += text
        seen?.()
      })
      const until = (text: string) =>
        Effect.callback<void>((resume) => {
          const look = () => {
            if (shown.includes(text)) resume(Effect.void)
          }
          seen = look
          look()
        })
      yield* until("first")
      fs.appendFileSync(file, `${line(2, "INFO", "second")}\n`)
      fs.renameSync(file, `${file}.1`)
      fs.writeFileSync(file, `${line(3, "INFO", "third")}\n`)
      fs.writeFileSync(path.join(folder, "shim.log"), `{"time":"${at(4)}","event":"Stop","reason":"away"}\n`)
      yield* until("away")
      yield* until("third")
      assert.deepStrictEqual(
        ["first", "second", "third", "away"].map((word) => shown.split(word).length - 1),
        [1, 1, 1, 1]
      )
      const ended = Effect.callback<number | null>((resume) => {
        child.on("exit", (code) => resume(Effect.succeed(code)))
        child.kill("SIGINT")
      })
      assert.strictEqual(yield* ended, 130)
    }).pipe(Effect.scoped)
  )
})

const all = () => true
const isShort = (line: string) => line.length < 10

describe("LogReader", () => {
  const files = Effect.map(TempFolder.make, (folder) =>
    [0, 1, 2].map((index) => path.join(folder, index === 0 ? "log" : `log.${index}`))
  )
  it.live("returns the last lines of any length across files", () =>
    Effect.gen(function* () {
      const paths = yield* files
      const lines = Array.from({ length: 3_000 }, (_, n) => `${n} ${"\u20ac".repeat((n * 37) % 211)}`)
      fs.writeFileSync(paths[2]!, `${lines.slice(0, 1_000).join("\n")}\n`)
      fs.writeFileSync(paths[1]!, `${lines.slice(1_000, 2_000).join("\n")}\n`)
      fs.writeFileSync(paths[0]!, lines.slice(2_000).join("\n"))
      const seen = yield* LogReader.observe(paths)
      for (const limit of [1, 2, 999, 1_000, 1_001, 2_500, 5_000]) {
        assert.deepStrictEqual(yield* LogReader.tail(seen, limit, all), lines.slice(-limit))
      }
      const even = yield* LogReader.tail(seen, 5, (line) => Number.parseInt(line, 10) % 2 === 0)
      assert.deepStrictEqual(
        even,
        [2_990, 2_992, 2_994, 2_996, 2_998].map((n) => lines[n]!)
      )
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("passes over a line of any length", () =>
    Effect.gen(function* () {
      const paths = yield* files
      const long = "x".repeat(3 * 1_048_576)
      fs.writeFileSync(paths[1]!, "older\n")
      fs.writeFileSync(paths[0]!, `first\n${long}\nlast\n`)
      const observed = yield* LogReader.observe(paths)
      assert.deepStrictEqual(yield* LogReader.tail(observed, 1, all), ["last"])
      assert.deepStrictEqual(yield* LogReader.tail(observed, 3, isShort), ["older", "first", "last"])
      assert.deepStrictEqual(yield* LogReader.tail(observed, 2, all), [long, "last"])
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("follows across rotations, truncation and removal, and waits for the end of a line", () =>
    Effect.gen(function* () {
      const paths = yield* files
      const [file, second, third] = paths as [string, string, string]
      const found: Array<string> = []
      let position: LogReader.Position | undefined
      const poll = Effect.gen(function* () {
        found.length = 0
        position = yield* LogReader.follow(yield* LogReader.observe(paths), position, (line) =>
          Effect.sync(() => void found.push(line))
        )
        return [...found]
      })
      assert.deepStrictEqual(yield* poll, [])
      fs.writeFileSync(file, "a\nb")
      assert.deepStrictEqual(yield* poll, ["a"])
      fs.appendFileSync(file, "b\n")
      assert.deepStrictEqual(yield* poll, ["bb"])
      fs.appendFileSync(file, "c\n")
      fs.renameSync(file, third)
      fs.writeFileSync(second, "d\n")
      fs.writeFileSync(file, "e\n")
      assert.deepStrictEqual(yield* poll, ["c", "d", "e"])
      assert.deepStrictEqual(yield* poll, [])
      fs.truncateSync(file, 0)
      assert.deepStrictEqual(yield* poll, [])
      fs.writeFileSync(file, "f\n")
      assert.deepStrictEqual(yield* poll, ["f"])
    }).pipe(Effect.provide(NodeServices.layer))
  )
})
