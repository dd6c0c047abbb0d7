/**
 * All spools of a home: that of the configured database, and those of formerly configured ones.
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
import { plural } from "../internal/text.ts"
import { MemoryRecorder } from "../memory/MemoryRecorder.ts"
import * as Database from "../sql/Database.ts"
import * as Memory from "./Memory.ts"
import * as EventSpool from "./eventSpool.ts"

/** A spool with waiting events or dead letters. */
export interface Spool {
  /** File name, as `athena events flush --spool` accepts it. */
  readonly name: string
  /** Host, port and name of its database; `undefined` if it was not recorded. */
  readonly database: string | undefined
  /** Whether it belongs to the configured database. */
  readonly current: boolean
  /** Events that wait for the database. */
  readonly waiting: number
  /** Events that the database rejected. */
  readonly deadLetters: number
  /** When the oldest waiting event was recorded. */
  readonly oldest: DateTime.Utc | undefined
  /** Why it can't be read. */
  readonly problem: string | undefined
}

const isName = (name: string): boolean => /^events(?:-[0-9a-f]{1,16})?\.spool$/.test(name)

/** Age of the last write after which an empty spool of a former database is deleted. */
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

/** Spools with waiting events or dead letters, and unreadable ones. */
export const pending = Effect.map(all, (spools: ReadonlyArray<Spool>) =>
  spools.filter(({ deadLetters, problem, waiting }) => waiting + deadLetters > 0 || problem !== undefined)
)

/** Path of an existing spool by its name. */
export const filenameOf = (name: string) =>
  Effect.gen(function* () {
    if (!(yield* names).includes(name)) return Option.none<string>()
    return Option.some((yield* Path.Path).join(yield* Database.home, name))
  })

/** Deletes the expired empty spools of former databases. */
export const expire = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const home = yield* Database.home
  const now = yield* Clock.currentTimeMillis
  for (const { current, deadLetters, name, problem, waiting } of yield* all) {
    if (current || deadLetters + waiting > 0 || problem !== undefined) continue
    const filename = path.join(home, name)
    const { mtime } = yield* files.stat(filename)
    if (!Option.exists(mtime, (at) => now - at.getTime() > expiresAfterMs)) continue
    for (const suffix of ["", "-wal", "-shm", ".lock", EventSpool.databaseSuffix]) {
      yield* Effect.ignore(files.remove(`${filename}${suffix}`, { force: true }))
    }
  }
})

const deliverTimeout = Duration.seconds(2)

/** Events in the spool of the configured database; 0 if that is unknown. Creates no spool. */
export const waiting = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  if (!(yield* fs.exists(yield* EventSpool.filename))) return 0
  const { spooled } = yield* MemoryRecorder.use((recorder) => recorder.stats).pipe(Effect.provide(EventSpool.layer()))
  return spooled
}).pipe(Effect.orElseSucceed(() => 0))

/** Delivers waiting events. After a failure they remain in the spool, and `athena status` reports them. */
export const deliver = Effect.gen(function* () {
  if ((yield* waiting) === 0) return
  yield* MemoryRecorder.use((recorder) => recorder.flush({ timeout: deliverTimeout })).pipe(
    Effect.provide(EventSpool.layerFlush().pipe(Layer.provide(Memory.executor))),
    Effect.ignore
  )
})

const ageOf = (oldest: DateTime.Utc | undefined, now: DateTime.Utc): string => {
  if (oldest === undefined) return ""
  const ms = Math.max(0, DateTime.toEpochMillis(now) - DateTime.toEpochMillis(oldest))
  return `, the oldest for ${Duration.format(Duration.seconds(Math.floor(ms / 1_000)))}`
}

/** The next step for a spool; `undefined` if none is needed. */
export const adviceOn = ({ current, deadLetters, name, problem, waiting }: Spool): string | undefined => {
  if (problem !== undefined) return "look who may read and write the file"
  if (waiting > 0) return current ? "athena events flush" : `athena events flush --spool ${name}`
  return deadLetters > 0 && current ? "athena events dead" : undefined
}

export const describe = (spool: Spool, now: DateTime.Utc): string => {
  const { current, database, deadLetters, name, oldest, problem, waiting } = spool
  const whose = current ? "the database in use" : `another database (${database ?? "not recorded"})`
  if (problem !== undefined) return `${name}, of ${whose}: ${problem}`
  const aside = deadLetters === 0 ? "" : `, ${plural("event", deadLetters)} set aside`
  return `${name}: ${plural("event", waiting)} wait for ${whose}${ageOf(oldest, now)}${aside}`
}

/** Text lines about the spools. */
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

/** The spools as JSON. */
export const json = (spools: ReadonlyArray<Spool>) =>
  spools.map(({ database, oldest, problem, ...spool }) => ({
    ...spool,
    database: database ?? null,
    oldest: oldest === undefined ? null : DateTime.formatIso(oldest),
    problem: problem ?? null
  }))
