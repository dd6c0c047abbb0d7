/**
 * The log files contain one line per log entry, for any value and state of the disk.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/testing/TestClock"
import * as LogFile from "../../src/logging/LogFile.ts"
import * as LogWriter from "../../src/logging/LogWriter.ts"
import * as TempFolder from "../utils/TempFolder.ts"

const canMount = process.platform === "linux" && process.getuid?.() === 0

const logging =
  (options: LogFile.LogFileOptions) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    effect.pipe(Effect.provide(LogFile.layer(options).pipe(Layer.provideMerge(NodeServices.layer))))

const read = (folder: string, name = "athena.log"): ReadonlyArray<any> =>
  fs
    .readFileSync(path.join(folder, name), "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line))

const inFolder = Effect.map(TempFolder.make, (folder) => path.join(folder, "home", "logs"))

const modeOf = (file: string) => (fs.statSync(file).mode & 0o777).toString(8)

describe("LogFile", () => {
  it.live("writes time, level, message, annotations, spans and cause, for the owner alone", () =>
    Effect.gen(function* () {
      const folder = yield* inFolder
      yield* Effect.logWarning("it", { took: 3n }, Cause.fail("no")).pipe(
        Effect.annotateLogs({ port: 1, token: Redacted.make("secret") }),
        Effect.withLogSpan("start"),
        logging({ folder })
      )
      const [line] = read(folder)
      assert.match(line.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
      assert.deepStrictEqual([line.level, line.message[0], line.annotations.port], ["WARN", "it", 1])
      assert.include(line.cause, "no")
      assert.isNumber(line.spans.start)
      assert.notInclude(fs.readFileSync(path.join(folder, "athena.log"), "utf8"), "secret")
      assert.deepStrictEqual([modeOf(folder), modeOf(path.join(folder, "athena.log"))], ["700", "600"])
    })
  )

  it.live("redacts secrets in messages, annotations and causes, also where a line is truncated", () =>
    Effect.gen(function* () {
      const folder = yield* inFolder
      const secret = ["ghp", "aB3kQ7xZ0pM9tR5wY2cF8hJ4nV6dG1sLbEuK"].join("_")
      const offsets = Array.from({ length: secret.length }, (_, offset) => offset)
      yield* Effect.forEach(offsets, (offset) => {
        const text = `${"x".repeat(340 - offset)} ${secret} ${"more ".repeat(2_000)}`
        return Effect.logWarning(text, Cause.fail(text)).pipe(Effect.annotateLogs({ text, password: "hunter2pw" }))
      }).pipe(logging({ folder }))
      yield* Effect.logInfo(`short ${secret}`, { api_key: "aB3kQ7xZ0pM9tR5w" }).pipe(logging({ folder }))
      const lines = read(folder)
      assert.strictEqual(lines.length, offsets.length + 1)
      const all = JSON.stringify(lines)
      for (let at = 4; at + 8 <= secret.length; at++) assert.notInclude(all, secret.slice(at, at + 8))
      assert.notInclude(all, "hunter2pw")
      assert.notInclude(all, "aB3kQ7xZ0pM9tR5w")
    })
  )

  it.live("writes one line of bounded length for any value", () =>
    Effect.gen(function* () {
      const folder = yield* inFolder
      const circle: Record<string, unknown> = {}
      circle["self"] = circle
      const broken = Proxy.revocable({}, {})
      broken.revoke()
      const odd = "a\nb\r\u2028\u2029\u0085\u001b[2J\u0000\ud800"
      const long = ["x", "\u0001", "\u20ac", "\ud83d\ude00"].map((character) => character.repeat(100_000))
      yield* Effect.forEach(
        [odd, circle, { broken: broken.proxy }, { a: [{ b: Redacted.make("secret") }] }, ...long],
        (message) =>
          Effect.logInfo(message, Cause.die(new Error("y".repeat(100_000)))).pipe(Effect.annotateLogs({ odd, long }))
      ).pipe(logging({ folder }))
      const bytes = fs.readFileSync(path.join(folder, "athena.log"))
      const lines = bytes.toString("utf8").slice(0, -1).split("\n")
      assert.strictEqual(lines.length, 8)
      for (const line of lines) {
        assert.isAtMost(Buffer.byteLength(line), 8_192)
        assert.notMatch(line, /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/)
        assert.notInclude(line, "secret")
        assert.isObject(JSON.parse(line))
      }
      assert.strictEqual(JSON.parse(lines[0]!).message.slice(0, 5), "a\nb\r\u2028")
      assert.isTrue(JSON.parse(lines[4]!).cut)
      assert.match(JSON.parse(lines[4]!).message, /^x{100,}…$/)
      assert.include(lines[2], "can't be formatted")
    })
  )

  it.live("rotates full files and retains the configured number", () =>
    Effect.gen(function* () {
      const folder = yield* inFolder
      const text = "x".repeat(1_000)
      yield* Effect.forEach(Array.from({ length: 400 }), (_, n) => Effect.logInfo(n, text)).pipe(
        logging({ folder, maxBytes: 65_536, files: 3 })
      )
      assert.deepStrictEqual(fs.readdirSync(folder).toSorted(), ["athena.log", "athena.log.1", "athena.log.2"])
      const numbers = ["athena.log.2", "athena.log.1", "athena.log"].flatMap((name) => {
        assert.isAtMost(fs.statSync(path.join(folder, name)).size, 65_536)
        return read(folder, name).map(({ message }) => message[0])
      })
      assert.strictEqual(numbers.at(-1), 399)
      assert.isAbove(numbers.length, 2 * 55)
      numbers.forEach((number, index) => assert.strictEqual(number, numbers[0] + index))
    })
  )

  it.effect("queues a bounded number of lines and reports the number of dropped ones", () =>
    Effect.gen(function* () {
      const folder = yield* inFolder
      yield* Effect.forEach(Array.from({ length: 1_020 }), (_, n) => Effect.logInfo(n)).pipe(logging({ folder }))
      const lines = read(folder)
      assert.deepStrictEqual(
        lines.slice(0, 1_000).map(({ message }) => message),
        Array.from({ length: 1_000 }, (_, n) => n)
      )
      assert.deepStrictEqual([lines.length, lines[1_000].level, lines[1_000].dropped], [1_001, "WARN", 20])
    })
  )

  it.effect("writes queued lines once the folder is usable and ends without it", () =>
    Effect.gen(function* () {
      const folder = yield* inFolder
      fs.writeFileSync(path.dirname(folder), "in the way")
      yield* Effect.gen(function* () {
        yield* Effect.logInfo("first")
        yield* TestClock.adjust("1 second")
        fs.rmSync(path.dirname(folder))
        yield* Effect.logInfo("second")
      }).pipe(logging({ folder }))
      assert.deepStrictEqual(
        read(folder).map(({ message }) => message),
        ["first", "second"]
      )
      fs.rmSync(folder, { recursive: true })
      fs.writeFileSync(folder, "in the way")
      yield* Effect.logInfo("never").pipe(logging({ folder }))
    })
  )

  it.live.skipIf(!canMount)("leaves no torn line on a full disk and resumes when there is space", () =>
    Effect.gen(function* () {
      const folder = path.join(yield* TempFolder.make, "disk")
      fs.mkdirSync(folder)
      yield* Effect.acquireRelease(
        Effect.sync(() => execFileSync("mount", ["-t", "tmpfs", "-o", "size=32k", "tmpfs", folder])),
        () => Effect.sync(() => execFileSync("umount", [folder]))
      )
      const append = yield* LogWriter.make({ folder, name: "athena.log", maxBytes: 1_048_576, files: 2 })
      const lines = Array.from({ length: 100 }, (_, n) => JSON.stringify({ n, text: "x".repeat(1_000) }))
      const stored = () => fs.readFileSync(path.join(folder, "athena.log"), "utf8").split("\n").slice(0, -1)
      assert.strictEqual(yield* append(lines.slice(0, 10)), 10)
      assert.strictEqual(yield* append(lines.slice(10)), 0)
      assert.deepStrictEqual(stored(), lines.slice(0, 10))
      execFileSync("mount", ["-o", "remount,size=1m", folder])
      assert.strictEqual(yield* append(lines.slice(10)), 90)
      assert.deepStrictEqual(stored(), lines)
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("dies with the name of an option out of its bounds", () =>
    Effect.gen(function* () {
      for (const [name, options] of Object.entries({ maxBytes: { maxBytes: 1 }, files: { files: 0 } })) {
        const exit = yield* Effect.exit(Effect.scoped(LogFile.make({ folder: "/nowhere", ...options })))
        assert.include(String(Exit.isFailure(exit) && Cause.squash(exit.cause)), `LogFile: ${name} is`)
      }
    }).pipe(Effect.provide(NodeServices.layer))
  )
})
