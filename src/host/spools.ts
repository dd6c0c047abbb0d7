/**
 * All spools of a home: that of the database which the configuration names, and those of databases that it named before.
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as EventRecorder from "../events/EventRecorder.ts"
import { MemoryRecorder } from "../memory/MemoryRecorder.ts"
import * as Database from "../sql/Database.ts"
import * as Memory from "./Memory.ts"
import * as EventSpool from "./eventSpool.ts"

/** A spool in which events wait or were set aside. */
export interface Spool {
  /** The name of its file, which `athena events flush --spool` takes. */
  readonly name: string
  /** The host, the port and the name of the database that its events wait for; nothing where it was not recorded. */
  readonly database: string | undefined
  /** Whether it is that of the database which the configuration names. */
  readonly current: boolean
  /** Events that wait. */
  readonly waiting: number
  /** Events that were set aside. */
  readonly deadLetters: number
  /** When the oldest that waits was recorded. */
  readonly oldest: DateTime.Utc | undefined
  /** Why it can't be read. */
  readonly problem: string | undefined
}

const isName = (name: string): boolean => /^events(?:-[0-9a-f]{1,16})?\.spool$/.test(name)

/** An empty spool of a former database is removed when nothing was written into it for so long. */
const expiresAfterMs = 30 * 86_400_000

const names = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const found = yield* Effect.orElseSucceed(files.readDirectory(yield* Database.home), () => [])
  return found.filter(isName).toSorted()
})

const read = (name: string) =>
  Effect.gen(function* () {
    const path = yield* Path.Path
    const filename = path.join(yield* Database.home, name)
    const current = filename === (yield* EventSpool.filename)
    const database = yield* EventSpool.databaseOf(filename)
    const stats = yield* MemoryRecorder.use((recorder) => recorder.stats).pipe(
      Effect.provide(EventRecorder.layerSpool(MemoryRecorder, { filename })),
      Effect.result
    )
    return stats._tag === "Success"
      ? {
          name,
          database,
          current,
          waiting: stats.success.spooled,
          deadLetters: stats.success.deadLetters,
          oldest: stats.success.oldest,
          problem: undefined
        }
      : { name, database, current, waiting: 0, deadLetters: 0, oldest: undefined, problem: stats.failure.message }
  })

const all = Effect.flatMap(names, (names) => Effect.forEach(names, read))

/** The spools in which events wait or were set aside, and those that can't be read. */
export const pending = Effect.map(all, (spools: ReadonlyArray<Spool>) =>
  spools.filter(({ deadLetters, problem, waiting }) => waiting + deadLetters > 0 || problem !== undefined)
)

/** The path of a spool that is there; nothing where none has the name. */
export const filenameOf = (name: string) =>
  Effect.gen(function* () {
    if (!(yield* names).includes(name)) return Option.none<string>()
    return Option.some((yield* Path.Path).join(yield* Database.home, name))
  })

/** Removes the empty spools of former databases that nothing was written into for 30 days, and says how many. */
export const expire = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const home = yield* Database.home
  const now = yield* Clock.currentTimeMillis
  let removed = 0
  for (const { current, deadLetters, name, problem, waiting } of yield* all) {
    if (current || deadLetters + waiting > 0 || problem !== undefined) continue
    const filename = path.join(home, name)
    const { mtime } = yield* files.stat(filename)
    if (!Option.exists(mtime, (at) => now - at.getTime() > expiresAfterMs)) continue
    for (const suffix of ["", "-wal", "-shm", ".lock", EventSpool.databaseSuffix]) {
      yield* Effect.ignore(files.remove(`${filename}${suffix}`, { force: true }))
    }
    removed++
  }
  return removed
})

/** How long they are brought in, before a command does without the rest. */
const deliverTimeout = Duration.seconds(2)

/** How many there are; none where that can't be known. A spool that is not there is not made by looking at it. */
export const waiting = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  if (!(yield* fs.exists(yield* EventSpool.filename))) return 0
  const { spooled } = yield* MemoryRecorder.use((recorder) => recorder.stats).pipe(Effect.provide(EventSpool.layer()))
  return spooled
}).pipe(Effect.orElseSucceed(() => 0))

/** Brings them into the database, if there are any. Where that fails they go on waiting, and `athena status` says so. */
export const deliver = Effect.gen(function* () {
  if ((yield* waiting) === 0) return
  yield* MemoryRecorder.use((recorder) => recorder.flush({ timeout: deliverTimeout })).pipe(
    Effect.provide(EventSpool.layerFlush().pipe(Layer.provide(Memory.executor))),
    Effect.ignore
  )
})

const plural = (count: number): string => `${count} event${count === 1 ? "" : "s"}`

const ageOf = (oldest: DateTime.Utc | undefined, now: DateTime.Utc): string => {
  if (oldest === undefined) return ""
  const ms = Math.max(0, DateTime.toEpochMillis(now) - DateTime.toEpochMillis(oldest))
  return `, the oldest for ${Duration.format(Duration.seconds(Math.floor(ms / 1_000)))}`
}

/** What to do about a spool; nothing where there is nothing to do. */
export const adviceOn = ({ current, deadLetters, name, problem, waiting }: Spool): string | undefined => {
  if (problem !== undefined) return "look who may read and write the file"
  if (waiting > 0) return current ? "athena events flush" : `athena events flush --spool ${name}`
  return deadLetters > 0 && current ? "athena events dead" : undefined
}

export const describe = (spool: Spool, now: DateTime.Utc): string => {
  const { current, database, deadLetters, name, oldest, problem, waiting } = spool
  const whose = current ? "the database in use" : `another database (${database ?? "not recorded"})`
  if (problem !== undefined) return `${name}, of ${whose}: ${problem}`
  const aside = deadLetters === 0 ? "" : `, ${plural(deadLetters)} set aside`
  return `${name}: ${plural(waiting)} wait for ${whose}${ageOf(oldest, now)}${aside}`
}

/** Lines on the spools in which events wait. */
export const lines = Effect.fnUntraced(function* (spools: ReadonlyArray<Spool>) {
  const now = yield* DateTime.now
  return spools.flatMap((spool) => {
    const advice = adviceOn(spool)
    return [
      `${"waiting".padEnd(24)} ${describe(spool, now)}`,
      ...(advice === undefined ? [] : [`${" ".repeat(24)} -> ${advice}`])
    ]
  })
})

/** The spools as they stand in JSON. */
export const json = (spools: ReadonlyArray<Spool>) =>
  spools.map(({ database, oldest, problem, ...spool }) => ({
    ...spool,
    database: database ?? null,
    oldest: oldest === undefined ? null : DateTime.formatIso(oldest),
    problem: problem ?? null
  }))
