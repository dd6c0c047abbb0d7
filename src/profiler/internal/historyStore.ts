/** The tables of `profile.db`: merges records into them and reads histories from them. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as Report from "../ProfileReport.ts"
import { emptyReport } from "./emptyReport.ts"
import * as Histogram from "./histogram.ts"
import type { ProfileRecord } from "../ProfileRecord.ts"
import * as RecordReader from "./profileRecordReader.ts"
import * as Merge from "./merge.ts"
import { distribution } from "./snapshot.ts"
import { type RotatedFile, droppedOf } from "./profileLog.ts"

const { mean: _mean, p50: _p50, p90: _p90, p95: _p95, p99: _p99, ...encodedFields } = Report.Distribution.fields

const Encoded = Schema.Struct(encodedFields)

const {
  callPaths: _paths,
  operations: _operations,
  statements: _statements,
  ...summaryFields
} = Report.ProfileReport.fields

/** The processes of one hour and session, beside their operations and statements. */
const Processes = Schema.Struct({
  processes: Schema.Int,
  unreadable: Schema.Int,
  dropped: Schema.Int,
  kernel: Encoded,
  /** In milliseconds. */
  elapsed: Schema.Finite,
  summary: Schema.Struct(summaryFields)
})

type Processes = typeof Processes.Type

const decodeProcesses = Schema.decodeUnknownOption(Schema.fromJsonString(Processes))
const decodeOperation = Schema.decodeUnknownOption(Schema.fromJsonString(Report.Operation))
const decodeStatement = Schema.decodeUnknownOption(Schema.fromJsonString(Report.Statement))
const decodeEncoded = Schema.decodeUnknownOption(Schema.fromJsonString(Encoded))

/** The schema version, stored in the file's `user_version`. */
const schemaVersion = 1

/** The file has a newer schema than this version supports. */
export class NewerHistory extends Data.TaggedError("NewerHistory")<{ readonly version: number }> {}

const tables = [
  `CREATE TABLE measured (hour INTEGER NOT NULL, session TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
    body TEXT NOT NULL, relative TEXT NOT NULL, PRIMARY KEY (hour, session, kind, name)) WITHOUT ROWID`,
  `CREATE INDEX measured_by_session ON measured (session)`,
  `CREATE TABLE processes (hour INTEGER NOT NULL, session TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (hour, session)) WITHOUT ROWID`,
  `CREATE TABLE merged (file TEXT PRIMARY KEY, hour INTEGER NOT NULL) WITHOUT ROWID`
]

const hourMs = 3_600_000
const hourOf = (at: number): number => Math.floor(at / hourMs)

/** Creates missing tables. A file of a newer version stays unchanged. */
export const prepare = (sql: SqlClient.SqlClient): Effect.Effect<void, SqlError | NewerHistory> =>
  Effect.gen(function* () {
    const isReady = Effect.flatMap(sql.unsafe<{ user_version: number }>("PRAGMA user_version"), ([row]) => {
      const version = row?.user_version ?? 0
      return version > schemaVersion ? Effect.fail(new NewerHistory({ version })) : Effect.succeed(version > 0)
    })
    if (yield* isReady) return
    yield* sql.withTransaction(
      Effect.gen(function* () {
        if (yield* isReady) return
        for (const table of tables) yield* sql.unsafe(table)
        yield* sql.unsafe(`PRAGMA user_version = ${schemaVersion}`)
      })
    )
  })

interface Row<A> {
  readonly hour: number
  readonly session: string
  value: A
}

const keyOf = (...parts: ReadonlyArray<string | number>): string => JSON.stringify(parts)

interface Measured {
  readonly kind: string
  readonly name: string
  readonly body: Report.Operation | Report.Statement
  readonly relative: Histogram.Encoded
}

const isStatement = (body: Measured["body"]): body is Report.Statement => "fingerprint" in body

const bodies = (a: Measured["body"], b: Measured["body"]): Measured["body"] =>
  isStatement(a) && isStatement(b)
    ? Merge.statements(a, b)
    : !isStatement(a) && !isStatement(b)
      ? Merge.operations(a, b)
      : b

const histograms = (a: Histogram.Encoded, b: Histogram.Encoded): Histogram.Encoded => {
  const merged = Histogram.decode(a)
  Histogram.merge(merged, b)
  return Histogram.encode(merged)
}

const measureds = (a: Measured, b: Measured): Measured => ({
  ...a,
  body: bodies(a.body, b.body),
  relative: histograms(a.relative, b.relative)
})

const measurementsOf = ({ kernel, report }: ProfileRecord): ReadonlyArray<Measured> => [
  ...report.operations.map((body) => ({
    kind: body.kind,
    name: body.name,
    body,
    relative: Merge.normalised(body.wall, kernel)
  })),
  ...report.statements.map((body) => ({
    kind: body.system,
    name: body.fingerprint,
    body,
    relative: Merge.normalised(body.wall, kernel)
  }))
]

const one = (value: number): Histogram.Encoded => {
  const histogram = Histogram.make()
  Histogram.record(histogram, value)
  return Histogram.encode(histogram)
}

/** The maximum number of slow executions per hour and session, and in a report. */
const maxSlowOfRow = 20
const maxSlow = 100

/** One process. Times ahead of the reader's clock count as now. */
const processOf = ({ kernel, report }: ProfileRecord, now: number): Processes => {
  const { callPaths: _, operations: _operations, statements: _statements, ...summary } = report
  return {
    processes: 1,
    unreadable: 0,
    dropped: 0,
    kernel: one(kernel),
    elapsed: report.to - report.from,
    summary: { ...summary, from: Math.min(report.from, now), to: Math.min(report.to, now) }
  }
}

const noTimes = Histogram.encode(Histogram.make())

/** Unreadable and dropped records, of which only the number is known. */
const unknownRecords = (at: number, unreadable: number, dropped: number): Processes => ({
  processes: 0,
  unreadable,
  dropped,
  kernel: noTimes,
  elapsed: 0,
  summary: { ...emptyReport, from: at, to: at }
})

/** The summary of unreadable records is empty. */
const summaries = (a: Processes, b: Processes, maxSlow: number): Merge.Summary => {
  if (a.processes === 0) return b.summary
  return b.processes === 0 ? a.summary : Merge.summaries(a.summary, b.summary, a.elapsed + b.elapsed, maxSlow)
}

const processes = (a: Processes, b: Processes, maxSlow: number): Processes => ({
  processes: a.processes + b.processes,
  unreadable: a.unreadable + b.unreadable,
  dropped: a.dropped + b.dropped,
  kernel: histograms(a.kernel, b.kernel),
  elapsed: a.elapsed + b.elapsed,
  summary: summaries(a, b, maxSlow)
})

/** Merges a value into the row of its key. */
const put = <A>(rows: Map<string, Row<A>>, key: string, row: Row<A>, merge: (a: A, b: A) => A): void => {
  const known = rows.get(key)
  if (known === undefined) rows.set(key, row)
  else known.value = merge(known.value, row.value)
}

interface Batch {
  readonly measured: Map<string, Row<Measured>>
  readonly processes: Map<string, Row<Processes>>
}

const mergeOfRow = (a: Processes, b: Processes): Processes => processes(a, b, maxSlowOfRow)

const collect = (lines: ReadonlyArray<string>, now: number): Batch => {
  const batch: Batch = { measured: new Map(), processes: new Map() }
  let unreadable = 0
  let dropped = 0
  for (const text of lines) {
    const line = Option.getOrUndefined(RecordReader.decode(text))
    if (line === undefined) {
      const known = droppedOf(text)
      if (known === undefined) unreadable++
      else dropped += known
      continue
    }
    const hour = hourOf(Math.min(line.report.to, now))
    const { session } = line
    put(batch.processes, keyOf(hour, session), { hour, session, value: processOf(line, now) }, mergeOfRow)
    for (const value of measurementsOf(line)) {
      put(batch.measured, keyOf(hour, session, value.kind, value.name), { hour, session, value }, measureds)
    }
  }
  if (unreadable + dropped > 0) {
    const hour = hourOf(now)
    put(
      batch.processes,
      keyOf(hour, ""),
      { hour, session: "", value: unknownRecords(now, unreadable, dropped) },
      mergeOfRow
    )
  }
  return batch
}

const parseMeasured = (kind: string, name: string, body: string, relative: string): Measured | undefined => {
  const known = Option.orElse(decodeOperation(body), () => decodeStatement(body))
  const histogram = decodeEncoded(relative)
  return known._tag === "Some" && histogram._tag === "Some"
    ? { kind, name, body: known.value, relative: histogram.value }
    : undefined
}

const writeMeasured = (sql: SqlClient.SqlClient, { hour, session, value }: Row<Measured>) =>
  Effect.gen(function* () {
    const { kind, name } = value
    const rows = yield* sql<{ body: string; relative: string }>`
      SELECT body, relative FROM measured
      WHERE hour = ${hour} AND session = ${session} AND kind = ${kind} AND name = ${name}`
    const known = rows[0] === undefined ? undefined : parseMeasured(kind, name, rows[0].body, rows[0].relative)
    const merged = known === undefined ? value : measureds(known, value)
    yield* sql`INSERT INTO measured (hour, session, kind, name, body, relative)
      VALUES (${hour}, ${session}, ${kind}, ${name}, ${JSON.stringify(merged.body)}, ${JSON.stringify(merged.relative)})
      ON CONFLICT (hour, session, kind, name) DO UPDATE SET body = excluded.body, relative = excluded.relative`
  })

const writeProcesses = (sql: SqlClient.SqlClient, { hour, session, value }: Row<Processes>) =>
  Effect.gen(function* () {
    const rows = yield* sql<{ body: string }>`
      SELECT body FROM processes WHERE hour = ${hour} AND session = ${session}`
    const known = Option.flatMap(Option.fromNullishOr(rows[0]?.body), decodeProcesses)
    const merged = known._tag === "None" ? value : mergeOfRow(known.value, value)
    yield* sql`INSERT INTO processes (hour, session, body) VALUES (${hour}, ${session}, ${JSON.stringify(merged)})
      ON CONFLICT (hour, session) DO UPDATE SET body = excluded.body`
  })

/**
 * Merges the records of a file exactly once: it skips a file that another reader has merged before it was killed. Runs
 * in the transaction in which the file is read.
 */
export const merge = Effect.fnUntraced(function* (sql: SqlClient.SqlClient, file: RotatedFile, now: number) {
  const added = yield* sql`INSERT INTO merged (file, hour) VALUES (${file.name}, ${hourOf(now)})
    ON CONFLICT DO NOTHING RETURNING 1`
  if (added.length === 0) return
  const batch = collect(file.lines, now)
  for (const row of batch.processes.values()) yield* writeProcesses(sql, row)
  for (const row of batch.measured.values()) yield* writeMeasured(sql, row)
})

/**
 * Deletes rows beyond the maximum age, rows from the future (of a clock that was ahead), and the oldest rows over the
 * limit.
 */
export const trim = (
  sql: SqlClient.SqlClient,
  oldest: number,
  now: number,
  maxRows: number
): Effect.Effect<void, SqlError> =>
  sql.withTransaction(
    Effect.gen(function* () {
      const from = hourOf(oldest)
      const to = hourOf(now) + 1
      yield* sql`DELETE FROM measured WHERE hour < ${from} OR hour > ${to}`
      yield* sql`DELETE FROM processes WHERE hour < ${from} OR hour > ${to}`
      yield* sql`DELETE FROM merged WHERE hour < ${from}`
      yield* sql`DELETE FROM measured WHERE (hour, session, kind, name) IN
        (SELECT hour, session, kind, name FROM measured ORDER BY hour DESC LIMIT -1 OFFSET ${maxRows})`
      yield* sql`DELETE FROM processes WHERE (hour, session) IN
        (SELECT hour, session FROM processes ORDER BY hour DESC LIMIT -1 OFFSET ${maxRows})`
    })
  )

const byTotal = <A extends { readonly wall: Report.Distribution }>(all: ReadonlyArray<A>): ReadonlyArray<A> =>
  all.toSorted((a, b) => b.wall.sum - a.wall.sum)

const reportOf = (all: Processes | undefined, found: ReadonlyArray<Measured>): Report.ProfileReport => ({
  ...emptyReport,
  ...all?.summary,
  operations: byTotal(found.flatMap(({ body }) => (isStatement(body) ? [] : [body]))),
  statements: byTotal(found.flatMap(({ body }) => (isStatement(body) ? [body] : [])))
})

const labelOf = (kind: string, name: string): string => `${kind} ${name}`

/** The median of the operation or statement with this label, in milliseconds. */
export const medianOf = (report: Report.ProfileReport, what: string): number => {
  const operation = report.operations.find(({ kind, name }) => labelOf(kind, name) === what)
  const statement = report.statements.find(({ fingerprint, system }) => labelOf(system, fingerprint) === what)
  return (operation ?? statement)?.wall.p50 ?? 0
}

const historyOf = (all: Processes | undefined, sessions: number, found: ReadonlyArray<Measured>): Report.History => ({
  processes: all?.processes ?? 0,
  sessions,
  unreadable: all?.unreadable ?? 0,
  dropped: all?.dropped ?? 0,
  kernel: distribution(Histogram.decode(all?.kernel ?? noTimes)),
  normalised: Object.fromEntries(
    found.map(({ kind, name, relative }) => [labelOf(kind, name), distribution(Histogram.decode(relative))])
  ),
  report: reportOf(all, found)
})

/** The history without any process. */
export const emptyHistory: Report.History = historyOf(undefined, 0, [])

export const read = (sql: SqlClient.SqlClient, filter: Report.HistoryFilter): Effect.Effect<Report.History, SqlError> =>
  Effect.gen(function* () {
    const from = hourOf(filter.since ?? 0)
    const to = filter.before === undefined ? Number.MAX_SAFE_INTEGER : hourOf(filter.before)
    const session = filter.session ?? null
    const during = sql`hour >= ${from} AND hour < ${to} AND (${session} IS NULL OR session = ${session})`
    const processRows = yield* sql<{
      session: string
      body: string
    }>`SELECT session, body FROM processes WHERE ${during}`
    const rows = yield* sql<{ kind: string; name: string; body: string; relative: string }>`
      SELECT kind, name, body, relative FROM measured WHERE ${during} ORDER BY hour`

    const measured = new Map<string, Row<Measured>>()
    for (const { body, kind, name, relative } of rows) {
      const value = parseMeasured(kind, name, body, relative)
      if (value !== undefined) put(measured, keyOf(kind, name), { hour: 0, session: "", value }, measureds)
    }
    let all: Processes | undefined
    const sessions = new Set<string>()
    for (const { body, session } of processRows) {
      const one = Option.getOrUndefined(decodeProcesses(body))
      if (one !== undefined && one.processes > 0) sessions.add(session)
      if (one !== undefined) all = all === undefined ? one : processes(all, one, maxSlow)
    }
    return historyOf(
      all,
      sessions.size,
      [...measured.values()].map((row) => row.value)
    )
  })
