/**
 * `athena prune`: applies the retention policy immediately and compacts the database file.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { megabytes, plural } from "../../internal/text.ts"
import * as Retention from "../../memory/Retention.ts"
import * as Database from "../../sql/Database.ts"
import * as SqliteSpace from "../../sql/SqliteSpace.ts"
import * as Memory from "../../host/Memory.ts"
import * as Leftovers from "../../host/leftovers.ts"
import * as Output from "../output.ts"

const policyLine = ({ maxAge, maxBytes }: Retention.Policy): string => {
  const age = Duration.isFinite(maxAge) ? `for ${plural("day", Duration.toDays(maxAge))}` : "without a limit in age"
  return `retained   ${age}, ${Number.isFinite(maxBytes) ? `up to ${megabytes(maxBytes)}` : "without a limit in size"}`
}

const leftLine = (label: string, { events, oldest, space }: Retention.Plan): string =>
  [
    `${label.padEnd(10)} ${plural("event", events)}`,
    ...(oldest === undefined ? [] : [`the oldest of ${DateTime.formatIso(oldest)}`]),
    ...(space === undefined ? [] : [`${megabytes(space.live)} in use, ${megabytes(space.free)} free in the file`])
  ].join(", ")

const goesLine = ({ bytes, expired, surplus }: Retention.Plan): string =>
  [
    `would go   ${plural("event", expired + surplus)}: ${expired} too old, ${surplus === 0 ? "0" : `about ${surplus}`} too many`,
    ...(bytes === undefined ? [] : [`about ${megabytes(bytes)}`])
  ].join(", ")

const deletedLine = ({ bytes, events, sessions }: Retention.Pruned): string =>
  `deleted    ${plural("event", events)}, ${plural("session", sessions)} without an event, ${megabytes(bytes)} given back`

const clockLines = ({ countedFrom }: Retention.Plan): ReadonlyArray<string> =>
  countedFrom === undefined
    ? []
    : [
        `clock      far ahead of what was stored before, or just set: ages are counted from ${DateTime.formatIso(countedFrom)}`
      ]

const json = ({ countedFrom, oldest, ...plan }: Retention.Plan) => ({
  ...plan,
  countedFrom: countedFrom === undefined ? null : DateTime.formatIso(countedFrom),
  oldest: oldest === undefined ? null : DateTime.formatIso(oldest)
})

/** The share of free space, and the bytes, above which the file is rewritten. */
const worthShare = 0.25
const worthBytes = 64 * 1_048_576

/** A file in incremental vacuum mode releases space by itself. */
const isWorthRewriting = ({ file, free, isIncremental }: SqliteSpace.Space): boolean =>
  !isIncremental && free > worthBytes && free > file * worthShare

/** Rewrites the file if that is worthwhile. It prints a notice first, because hooks block meanwhile. */
const rewrite = (settings: Database.Settings, asJson: boolean) =>
  Effect.gen(function* () {
    if (settings._tag === "Postgres") return false
    const space = yield* SqliteSpace.read
    if (!isWorthRewriting(space)) return false
    if (!asJson) {
      yield* Output.text(`${megabytes(space.free)} of the file are free: rewriting it, hooks wait meanwhile`)
    }
    yield* SqliteSpace.rewrite(settings.home)
    return true
  })

/** The size of the embedded database in bytes. */
const sizeOf = (settings: Database.Settings) =>
  settings._tag === "Postgres" ? Effect.succeed(0) : Effect.map(SqliteSpace.read, ({ file }) => file)

const dry = (policy: Retention.Policy, asJson: boolean) =>
  Effect.gen(function* () {
    const plan = yield* Retention.plan(policy)
    yield* Output.print(asJson, { dryRun: true, ...json(plan) }, [
      policyLine(policy),
      ...clockLines(plan),
      leftLine("stored", plan),
      goesLine(plan)
    ])
  })

const wet = (policy: Retention.Policy, settings: Database.Settings, asJson: boolean) =>
  Effect.gen(function* () {
    const before = yield* sizeOf(settings)
    const counts = yield* Retention.prune(policy)
    const rewritten = yield* rewrite(settings, asJson)
    const left = yield* Retention.plan(policy)
    const pruned = { ...counts, bytes: Math.max(0, before - (yield* sizeOf(settings))), rewritten }
    yield* Output.print(asJson, { dryRun: false, pruned, left: json(left) }, [
      policyLine(policy),
      ...clockLines(left),
      deletedLine(pruned),
      leftLine("left", left)
    ])
  })

export const prune = Command.make(
  "prune",
  {
    dryRun: Flag.Boolean("dry-run").pipe(
      Flag.withDescription("Print what would be deleted without deleting it"),
      Flag.withDefault(false)
    ),
    json: Output.json
  },
  Effect.fnUntraced(function* ({ dryRun, json }) {
    const settings = yield* Database.settings
    const policy = yield* Retention.policyConfig(settings)
    if (!dryRun) yield* Leftovers.expire
    if (!(yield* Memory.exists(settings))) {
      return yield* Output.print(json, { dryRun, events: 0 }, ["no database yet"])
    }
    yield* (dryRun ? dry(policy, json) : wet(policy, settings, json)).pipe(
      Effect.provide(Memory.executorOn(settings).pipe(Layer.provideMerge(Database.layer(settings))))
    )
  })
).pipe(
  Command.withDescription("Delete events older than ATHENA_KEEP_DAYS or beyond ATHENA_MAX_MB, and release the space")
)
