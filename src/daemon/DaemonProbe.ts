/**
 * Queries the daemon of a home for the commands: its client, its health, and its summary for `athena status`.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import { databaseIdentity } from "../host/paths.ts"
import * as Spools from "../host/spools.ts"
import { version } from "../internal/version.ts"
import * as Database from "../sql/Database.ts"
import {
  DaemonClient,
  type DaemonClientError,
  type DaemonClientOptions,
  layer as layerClient,
  socketOf
} from "./DaemonClient.ts"
import type { DaemonStatus, Health } from "./DaemonStatus.ts"

export const layer = (options: DaemonClientOptions) =>
  layerClient(options).pipe(Layer.provide(NodeHttpClient.layerNodeHttpOptions({ socketPath: socketOf(options.home) })))

/** A running daemon, or the reason why none responded. */
export type ProbeResult = { readonly _tag: "Running"; readonly health: Health } | DaemonClientError

/** Queries the health of the daemon of a home. */
export const probe = (home: string): Effect.Effect<ProbeResult, never, FileSystem.FileSystem> =>
  DaemonClient.use((client) => client.health).pipe(
    Effect.map((health): ProbeResult => ({ _tag: "Running", health })),
    Effect.catch((error) => Effect.succeed<ProbeResult>(error)),
    Effect.provide(layer({ home }))
  )

/** Whether the daemon uses another database than this environment names. Older versions don't report it. */
export const hasOtherDatabase = ({ database }: Health): boolean =>
  database !== undefined && database !== databaseIdentity()

export const otherDatabaseAdvice =
  "give all sessions of this user the same ATHENA_ variables of the database, then run: athena stop; athena install"

/** Stops the daemon of a home, and returns whether one accepted the request. */
export const stop = (home: string): Effect.Effect<boolean, never, FileSystem.FileSystem> =>
  DaemonClient.use((client) => client.stop).pipe(
    Effect.as(true),
    Effect.orElseSucceed(() => false),
    Effect.provide(layer({ home }))
  )

export interface DaemonSummary {
  readonly state: "running" | "not running" | "unresponsive"
  readonly status: DaemonStatus | null
  /** Each with its next step. */
  readonly problems: ReadonlyArray<string>
}

const problemsOf = ({ events, health }: DaemonStatus): ReadonlyArray<string> => [
  ...(health.problem === null ? [] : [health.problem]),
  ...(hasOtherDatabase(health) ? [`it uses another database than this environment names; ${otherDatabaseAdvice}`] : []),
  ...(health.version === version ? [] : [`it is of version ${health.version}; the next session replaces it`]),
  ...(events !== null && events.deadLetters > 0
    ? [`the database rejected ${events.deadLetters} events; see: athena events dead`]
    : []),
  ...(events !== null && events.dropped > 0
    ? [`${events.dropped} events are lost: neither the disk nor the database stored them; see: athena doctor`]
    : []),
  ...(events?.lastFailure == null || events.waiting === 0
    ? []
    : [`${events.waiting} events wait for the database (${events.lastFailure}); see: athena doctor`])
]

export const running = (status: DaemonStatus): DaemonSummary => ({
  state: "running",
  status,
  problems: problemsOf(status)
})

/** Without a daemon no process delivers the spooled events. */
const waitingProblems = Effect.map(Spools.waiting, (waiting): ReadonlyArray<string> => {
  if (waiting === 0) return []
  return [
    `${waiting} event${waiting === 1 ? " waits" : "s wait"} on this host for the database; run: athena events flush`
  ]
})

const withoutStatus = (state: DaemonSummary["state"], problems: ReadonlyArray<string>) =>
  Effect.map(waitingProblems, (waiting): DaemonSummary => ({
    state,
    status: null,
    problems: [...problems, ...waiting]
  }))

const unresponsive = (detail: string) =>
  withoutStatus("unresponsive", [`${detail}; the next session replaces it, or run: athena stop`])

/** Queries the daemon of the configured home. It never fails. */
export const summarize = Effect.gen(function* () {
  const home = yield* Database.home
  return yield* DaemonClient.use((client) => client.status).pipe(
    Effect.map(running),
    Effect.catchTag("NotRunning", () => withoutStatus("not running", [])),
    Effect.catch((error) => unresponsive(error.message)),
    Effect.provide(layer({ home }))
  )
})

const seconds = 1_000
const minutes = 60 * seconds
const hours = 60 * minutes
const days = 24 * hours

const duration = (ms: number): string => {
  if (ms >= days) return `${Math.floor(ms / days)} d ${Math.floor((ms % days) / hours)} h`
  if (ms >= hours) return `${Math.floor(ms / hours)} h ${Math.floor((ms % hours) / minutes)} min`
  return ms >= minutes ? `${Math.floor(ms / minutes)} min` : `${Math.floor(ms / seconds)} s`
}

const ms = (value: number | null): string => (value === null ? "-" : `${value.toFixed(1)} ms`)

const indent = " ".repeat(24)

const statusLines = (status: DaemonStatus): ReadonlyArray<string> => {
  const { responses, cache, events, health, latencies, memory, pool, uptimeMs } = status
  const address = health.port === null ? "on no port" : `on port ${health.port}`
  const hitRate =
    cache === null || cache.reads === 0 ? "none yet" : `${((100 * cache.hits) / cache.reads).toFixed(0)} %`
  return [
    `process ${health.pid}, version ${health.version}, ${address}, up ${duration(uptimeMs)}, ${Math.round(memory.rss / 2 ** 20)} MB`,
    ...(events === null
      ? ["the spool can't be read"]
      : [
          `events: ${events.accepted} accepted, ${events.stored} stored, ${events.waiting} waiting, ${events.deadLetters} dead letters, ${events.dropped} dropped`
        ]),
    `responses: ${responses.stored} stored, ${responses.timedOut} past the deadline, ${responses.failed} failed, ${responses.overloaded} rejected`,
    `cache: hit rate ${hitRate}${cache === null ? "" : `, ${cache.entries} entries`}`,
    ...(pool === null ? [] : [`connections: ${pool.inUse} in use, ${pool.idle} idle, at most ${pool.max}`]),
    ...latencies.map(
      ({ count, event, max, p50, p95, p99 }) =>
        `${event}: ${count} responses, p50 ${ms(p50)}, p95 ${ms(p95)}, p99 ${ms(p99)}, at most ${ms(max)}`
    )
  ]
}

export const lines = ({ problems, state, status }: DaemonSummary): ReadonlyArray<string> => {
  const head = "daemon".padEnd(24)
  const idle = state === "not running" ? "not running; the next session starts it" : state
  const [first = "", ...rest] = status === null ? [idle] : statusLines(status)
  return [
    `${head} ${first}`,
    ...rest.map((line) => `${indent} ${line}`),
    ...problems.map((problem) => `${indent} -> ${problem}`)
  ]
}
