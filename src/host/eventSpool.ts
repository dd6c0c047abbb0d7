/**
 * The spool of this host, in which events wait while a Postgres database is away.
 */
import * as fs from "node:fs"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as EventRecorder from "../events/EventRecorder.ts"
import { fnv1a } from "../internal/fnv1a.ts"
import { MemoryRecorder } from "../memory/MemoryRecorder.ts"
import * as Database from "../sql/Database.ts"

/** Path of the spool: one for each database, so that events that wait for one do not end up in another. */
export const filenameOf = (home: string, settings: Database.Settings) =>
  Effect.map(Path.Path, (path) => {
    const name = settings._tag === "Embedded" ? "events" : `events-${fnv1a(Database.identity(settings).server)}`
    return path.join(home, `${name}.spool`)
  })

/** Path of the spool of the database that the configuration names. */
export const filename = Effect.gen(function* () {
  return yield* filenameOf(yield* Database.home, yield* Database.settings)
})

/** The file beside a spool that says which database it belongs to. */
export const databaseSuffix = ".database"

/** The host, the port and the name of the database of a spool; nothing where that was not recorded. */
export const databaseOf = (filename: string) =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    return yield* files.readFileString(`${filename}${databaseSuffix}`)
  }).pipe(Effect.orElseSucceed(() => undefined))

/** Records, once, which database a spool belongs to: its name has no way back. */
const recordDatabase = (filename: string, settings: Database.Settings) =>
  settings._tag === "Embedded"
    ? Effect.void
    : Effect.ignore(
        // By Node.js itself: the file system of a hook process writes nothing.
        Effect.try(() =>
          fs.writeFileSync(`${filename}${databaseSuffix}`, Database.identity(settings).server, {
            flag: "wx",
            mode: 0o600
          })
        )
      )

const inHome = <A, E, R>(layer: (filename: string) => Layer.Layer<A, E, R>) =>
  Layer.unwrap(
    Effect.gen(function* () {
      yield* Database.makeFolder(yield* Database.home)
      const file = yield* filename
      yield* recordDatabase(file, yield* Database.settings)
      return layer(file)
    })
  )

/** The recorder that writes into the spool and has no database. */
export const layer = (options: EventRecorder.DirectOptions = {}) =>
  inHome((filename) => EventRecorder.layerSpool(MemoryRecorder, { ...options, filename }))

/** The recorder that brings what is in one spool into the database of the context. */
export const layerFlushFrom = (filename: string) => EventRecorder.layer(MemoryRecorder, { filename, drain: false })

/** The recorder that brings what is in the spool into the database when it is told to. */
export const layerFlush = (options: Partial<EventRecorder.SpoolOptions> = {}) =>
  inHome((filename) => EventRecorder.layer(MemoryRecorder, { ...options, filename, drain: false }))

/** The recorder of the process that stays: it brings in what any process has left in the spool. */
export const layerRelay = (home: string, settings: Database.Settings) =>
  Layer.unwrap(
    Effect.gen(function* () {
      yield* Database.makeFolder(home)
      const filename = yield* filenameOf(home, settings)
      yield* recordDatabase(filename, settings)
      return EventRecorder.layer(MemoryRecorder, {
        filename,
        whenFull: "fail",
        // A lock holds the thread, so it is waited for between attempts.
        busyTimeout: "2 millis",
        batchSize: 50,
        interval: "1 second",
        shutdownTimeout: "2 seconds"
      })
    })
  )
