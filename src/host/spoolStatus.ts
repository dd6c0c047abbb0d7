/**
 * The spools in which events wait, and whether this host's Node.js can use one.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import * as Spools from "./spools.ts"
import * as EventRecorder from "../events/EventRecorder.ts"
import * as Mutation from "../query/Mutation.ts"
import * as QueryExecutor from "../query/QueryExecutor.ts"
import { type Check, failed, ok, warning } from "../doctor/Check.ts"

const plural = (count: number): string => `${count} event${count === 1 ? "" : "s"}`

const ageOf = (oldest: DateTime.Utc | undefined, now: DateTime.Utc): string => {
  if (oldest === undefined) return ""
  const ms = Math.max(0, DateTime.toEpochMillis(now) - DateTime.toEpochMillis(oldest))
  return `, the oldest for ${Duration.format(Duration.seconds(Math.floor(ms / 1_000)))}`
}

/** What to do about a spool; nothing where there is nothing to do. */
const adviceOn = ({ current, dead, name, problem, waiting }: Spools.Spool): string | undefined => {
  if (problem !== undefined) return "look who may read and write the file"
  if (waiting > 0) return current ? "athena events flush" : `athena events flush --spool ${name}`
  return dead > 0 && current ? "athena events dead" : undefined
}

const detailOf = (spool: Spools.Spool, now: DateTime.Utc): string => {
  const { current, database, dead, name, oldest, problem, waiting } = spool
  const whose = current ? "the database in use" : `another database (${database ?? "not recorded"})`
  if (problem !== undefined) return `${name}, of ${whose}: ${problem}`
  const aside = dead === 0 ? "" : `, ${plural(dead)} set aside`
  return `${name}: ${plural(waiting)} wait for ${whose}${ageOf(oldest, now)}${aside}`
}

/** Lines on the spools in which events wait. */
export const lines = Effect.fnUntraced(function* (spools: ReadonlyArray<Spools.Spool>) {
  const now = yield* DateTime.now
  return spools.flatMap((spool) => {
    const advice = adviceOn(spool)
    return [
      `${"waiting".padEnd(24)} ${detailOf(spool, now)}`,
      ...(advice === undefined ? [] : [`${" ".repeat(24)} -> ${advice}`])
    ]
  })
})

/** The spools as they stand in JSON. */
export const json = (spools: ReadonlyArray<Spools.Spool>) =>
  spools.map(({ database, oldest, problem, ...spool }) => ({
    ...spool,
    database: database ?? null,
    oldest: oldest === undefined ? null : DateTime.formatIso(oldest),
    problem: problem ?? null
  }))

const Probe = Schema.Struct({ id: Schema.String })

/** Writes an event into a spool of its own, delivers it, and looks whether it came back as it was. */
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
      QueryExecutor.QueryExecutor.of({
        query: () => Effect.die("the probe asks nothing"),
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

/** Checks that a spool works in a folder, and names those in which events wait. */
export const checks = (home: string) =>
  Effect.gen(function* () {
    if (!(yield* (yield* FileSystem.FileSystem).exists(home))) return []
    const now = yield* DateTime.now
    const waiting: ReadonlyArray<Check> = (yield* Spools.pending).map((spool) => {
      const advice = adviceOn(spool)
      return advice === undefined
        ? ok("waiting", detailOf(spool, now))
        : warning("waiting", detailOf(spool, now), advice)
    })
    return [yield* probed(home), ...waiting]
  })
