/**
 * Deletes the files that former Node.js versions, former databases and killed processes leave in the home.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Schedule from "effect/Schedule"
import * as Database from "../sql/Database.ts"
import * as Spools from "./spools.ts"

/** The age of the last write after which a file is deleted; `undefined` for a file in use. */
type MaxAge = (name: string) => Duration.Duration | undefined

/** Each version of Node.js has its own compiled code. A killed process leaves a draft, which ends with its pid. */
const compiledCode: MaxAge = (name) => {
  if (/\.\d+$/.test(name)) return Duration.days(1)
  return `-${name}-`.includes(`-${process.version}-`) ? undefined : Duration.days(30)
}

/** A killed installation leaves the draft of a receipt. */
const receipts: MaxAge = (name) => (/\.json\.\d+-\d+$/.test(name) ? Duration.days(1) : undefined)

const expireIn = Effect.fnUntraced(function* (name: string, maxAge: MaxAge) {
  const files = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const folder = path.join(yield* Database.home, name)
  const now = yield* Clock.currentTimeMillis
  const expireOne = Effect.fnUntraced(function* (file: string, age: Duration.Duration) {
    const { mtime } = yield* files.stat(file)
    if (!Option.exists(mtime, (at) => now - at.getTime() > Duration.toMillis(age))) return
    yield* files.remove(file, { recursive: true, force: true })
  })
  for (const file of yield* Effect.orElseSucceed(files.readDirectory(folder), () => [])) {
    const age = maxAge(file)
    if (age !== undefined) yield* Effect.ignore(expireOne(path.join(folder, file), age))
  }
})

/** Deletes the expired files of the configured home. It never fails. */
export const expire = Effect.all(
  [Effect.ignore(Spools.expire), expireIn("compile-cache", compiledCode), expireIn("install", receipts)],
  { discard: true }
).pipe(Effect.ignore)

/** Expires a minute after the start, when no session waits for it, and then every day. */
export const run = Effect.delay(expire, "1 minute").pipe(Effect.repeat(Schedule.spaced("1 day")))
