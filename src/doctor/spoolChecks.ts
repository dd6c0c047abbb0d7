/**
 * Checks of the spools: a round trip through a temporary spool, and the events that wait.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import * as EventRecorder from "../events/EventRecorder.ts"
import * as Spools from "../host/spools.ts"
import * as Mutation from "../query/Mutation.ts"
import * as QueryExecutor from "../query/QueryExecutor.ts"
import { type Check, failed, ok, warning } from "./check.ts"

const Probe = Schema.Struct({ id: Schema.String })

/** Writes events to a temporary spool, delivers them, and compares. */
const probe = (folder: string) =>
  Effect.gen(function* () {
    const received: Array<string> = []
    const target = Mutation.make({
      name: "doctor.probe",
      input: Schema.Array(Probe),
      changes: () => [],
      run: () => Effect.void
    })
    const executor = Layer.succeed(
      QueryExecutor.QueryExecutor,
      QueryExecutor.fromOperations({
        query: () => Effect.die("the probe runs no query"),
        mutate: (_, input) =>
          Effect.sync(() => {
            for (const { id } of input as ReadonlyArray<typeof Probe.Type>) received.push(id)
            return undefined as never
          })
      })
    )
    const filename = (yield* Path.Path).join(folder, "probe.spool")
    const recorder = yield* EventRecorder.make(
      { name: "doctor", event: Probe, id: ({ id }) => id, order: () => "doctor", target },
      { filename, drain: false }
    ).pipe(Effect.provide(executor))
    yield* recorder.recordAll([{ id: "one" }, { id: "two" }])
    const { left } = yield* recorder.flush()
    return left === 0 && received.join() === "one,two"
  })

const probed = (home: string) =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const folder = yield* files.makeTempDirectoryScoped({ directory: home, prefix: ".doctor-" })
    return (yield* probe(folder))
      ? ok("spool", "an event was written, delivered and read back")
      : failed("spool", "an event that was written was not delivered", "this is a defect of athena-hooks: report it")
  }).pipe(
    Effect.scoped,
    Effect.catch((error) =>
      Effect.succeed(failed("spool", error.message, `look at the disk and the rights of the folder ${home}`))
    )
  )

/** Runs the round trip in the home and lists the spools that hold events. */
export const of = (home: string) =>
  Effect.gen(function* () {
    if (!(yield* (yield* FileSystem.FileSystem).exists(home))) return []
    const now = yield* DateTime.now
    const waiting: ReadonlyArray<Check> = (yield* Spools.pending).map((spool) => {
      const advice = Spools.adviceOn(spool)
      return advice === undefined
        ? ok("waiting", Spools.describe(spool, now))
        : warning("waiting", Spools.describe(spool, now), advice)
    })
    return [yield* probed(home), ...waiting]
  })
