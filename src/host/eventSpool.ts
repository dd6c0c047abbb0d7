/**
 * The spool of this host, in which events wait for the database.
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

/** Path of the spool. Each database has its own, so that events never reach another one. */
export const filenameOf = (home: string, settings: Database.Settings) =>
  Effect.map(Path.Path, (path) => {
    const name = settings._tag === "Embedded" ? "events" : `events-${fnv1a(Database.identity(settings).server)}`
    return path.join(home, `${name}.spool`)
  })

/** Path of the spool of the configured database. */
export const filename = Effect.gen(function* () {
  return yield* filenameOf(yield* Database.home, yield* Database.settings)
})

/** Suffix of the file that records the database of a spool. */
export const databaseSuffix = ".database"

/** Host, port and name of the database of a spool; `undefined` if it was not recorded. */
export const databaseOf = (filename: string) =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    return yield* files.readFileString(`${filename}${databaseSuffix}`)
  }).pipe(Effect.orElseSucceed(() => undefined))

/** Records the database of a spool once: the file name contains only a hash. */
const recordDatabase = (filename: string, settings: Database.Settings) =>
  settings._tag === "Embedded"
    ? Effect.void
    : Effect.ignore(
        // By Node.js itself: the file system service of a hook process is read-only.
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

/** A recorder without a database: it only writes into the spool. */
export const layer = (options: EventRecorder.DirectOptions = {}) =>
  inHome((filename) => EventRecorder.layerSpool(MemoryRecorder, { ...options, filename }))

/** A recorder that delivers a given spool to the provided database on `flush`. */
export const layerFlushFrom = (filename: string) => EventRecorder.layer(MemoryRecorder, { filename, drain: false })

/** A recorder that delivers the configured spool to the provided database on `flush`. */
export const layerFlush = (options: Partial<EventRecorder.SpoolOptions> = {}) =>
  inHome((filename) => EventRecorder.layer(MemoryRecorder, { ...options, filename, drain: false }))

/** The recorder of the daemon: its relay delivers the events of all processes. */
export const layerRelay = (home: string, settings: Database.Settings) =>
  Layer.unwrap(
    Effect.gen(function* () {
      yield* Database.makeFolder(home)
      const filename = yield* filenameOf(home, settings)
      yield* recordDatabase(filename, settings)
      return EventRecorder.layer(MemoryRecorder, {
        filename,
        whenFull: "fail",
        // A lock blocks the thread, so the recorder waits between attempts instead.
        busyTimeout: "2 millis",
        batchSize: 50,
        interval: "1 second",
        shutdownTimeout: "2 seconds"
      })
    })
  )
