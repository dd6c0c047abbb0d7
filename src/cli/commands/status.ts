/**
 * `athena status`: installed hooks, the daemon, the database, and spools that hold events.
 */
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import * as Command from "effect/cli/Command"
import * as HostMemory from "../../host/Memory.ts"
import * as Spools from "../../host/spools.ts"
import * as MemoryError from "../../memory/MemoryError.ts"
import * as MemorySchema from "../../memory/MemorySchema.ts"
import * as Facts from "../../memory/queries/Facts.ts"
import * as Database from "../../sql/Database.ts"
import * as HookStatus from "../../install/hookStatus.ts"
import { plural } from "../../internal/text.ts"
import * as Output from "../output.ts"
import * as DaemonProbe from "../../daemon/DaemonProbe.ts"
import { version } from "../../internal/version.ts"

interface Memory {
  readonly database: "embedded" | "postgres"
  /** The folder of the embedded database. */
  readonly home: string | null
  readonly events: number
  readonly projects: number
  /** How often injected items of each kind were useful in their session. */
  readonly useful: ReadonlyArray<typeof Facts.Usefulness.Type>
  readonly problem: string | null
}

const nothing = { events: 0, projects: 0, useful: [], problem: null }

const count = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  if (!(yield* MemorySchema.exists)) return nothing
  const [row] = yield* sql<{ events: number | bigint; projects: number | bigint }>`SELECT
    (SELECT count(*) FROM episodic_events) AS events, (SELECT count(*) FROM projects) AS projects`
  // A database that no program of this version has opened has no counts yet.
  const useful = yield* Effect.orElseSucceed(Facts.usefulness.run({}), () => [])
  return { ...nothing, events: Number(row?.events ?? 0), projects: Number(row?.projects ?? 0), useful }
})

const memory = Effect.gen(function* () {
  const settings = yield* Database.settings
  const kind =
    settings._tag === "Embedded"
      ? ({ database: "embedded", home: settings.home } as const)
      : ({ database: "postgres", home: null } as const)
  if (!(yield* HostMemory.exists(settings))) return { ...kind, ...nothing } satisfies Memory
  const counts = yield* count.pipe(
    Effect.provide(Database.layer(settings, { timeout: "5 seconds" })),
    Effect.catch((error) =>
      Effect.succeed({ ...nothing, problem: `${MemoryError.describe(error)}; run: athena doctor` })
    )
  )
  return { ...kind, ...counts } satisfies Memory as Memory
})

const hookLines = (status: HookStatus.HookStatus): ReadonlyArray<string> => {
  const { events, installed, problems, scope, title, transport, versions } = status
  const how = transport === "http" ? "HTTP hooks" : "command hooks"
  const by = versions.length === 0 ? "" : `, version ${versions.join(", ")}`
  const state = installed ? `${plural("event", events.length)}, ${how}${by}` : "not installed"
  return [
    `${`${title} (${scope})`.padEnd(24)} ${problems.length > 0 && installed ? "PROBLEM, " : ""}${state}  ${status.file}`,
    ...problems.map((problem) => `${" ".repeat(24)} -> ${problem}`)
  ]
}

const usefulText = ({ kind, shown, useful }: Memory["useful"][number]): string =>
  `${kind} ${Math.round((100 * useful) / Math.max(1, shown))} % of ${shown}`

const memoryLines = ({ database, events, home, problem, projects, useful }: Memory): ReadonlyArray<string> => [
  `${"memory".padEnd(24)} ${database}${home === null ? "" : ` in ${home}`}: ${plural("event", events)} in ${plural("project", projects)}`,
  ...(problem === null ? [] : [`${" ".repeat(24)} -> ${problem}`]),
  ...(useful.length === 0 ? [] : [`${"useful injections".padEnd(24)} ${useful.map(usefulText).join(", ")}`])
]

export const status = Command.make(
  "status",
  { json: Output.json },
  Effect.fnUntraced(function* ({ json }) {
    const hooks = yield* HookStatus.all
    const database = yield* memory
    const daemon = yield* DaemonProbe.summarize
    const spools = yield* Effect.orElseSucceed(Spools.pending, () => [])
    const healthy =
      database.problem === null && daemon.problems.length === 0 && hooks.every(({ problems }) => problems.length === 0)
    const agents = hooks.map(({ handlers: _, ...rest }) => rest)
    yield* Output.print(json, { version, healthy, agents, daemon, memory: database, spools: Spools.json(spools) }, [
      ...hooks.flatMap(hookLines),
      ...DaemonProbe.lines(daemon),
      ...memoryLines(database),
      ...(yield* Spools.lines(spools))
    ])
    if (!healthy) process.exitCode = 1
  })
).pipe(
  Command.withDescription("Show the installed hooks, the daemon and the database; exit code 1 if there is a problem")
)
