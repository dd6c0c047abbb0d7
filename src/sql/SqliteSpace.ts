/**
 * The free space in a SQLite file, and how to return it to the disk.
 *
 * SQLite reuses the pages that a deletion frees; the file does not shrink by itself. A file created with `autoVacuum:
 * "incremental"` can return them in small steps. Any other file must be rewritten.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { megabytes } from "../internal/text.ts"

/**
 * The sizes of a file, in bytes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Space {
  /** The size of the file, without its write-ahead log. */
  readonly file: number
  /** The pages in use. */
  readonly live: number
  /** The free pages. */
  readonly free: number
  readonly pageSize: number
  /** Whether `incrementalVacuum` has an effect. */
  readonly isIncremental: boolean
}

/**
 * Reads the sizes of the file of the `SqlClient`, in constant time.
 *
 * @category accessors
 * @since 0.1.0
 */
export const read: Effect.Effect<Space, SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ page_size: number; page_count: number; freelist_count: number; auto_vacuum: number }>`
    SELECT page_size, page_count, freelist_count, auto_vacuum
    FROM pragma_page_size, pragma_page_count, pragma_freelist_count, pragma_auto_vacuum`
  const { auto_vacuum, freelist_count, page_count, page_size } = rows[0]!
  return {
    file: page_count * page_size,
    live: (page_count - freelist_count) * page_size,
    free: freelist_count * page_size,
    pageSize: page_size,
    isIncremental: auto_vacuum === 2
  }
})

/**
 * Returns at most this number of free pages to the disk, in one write transaction: 64 pages take about half a
 * millisecond. The result is the number of bytes.
 *
 * @category combinators
 * @since 0.1.0
 */
export const incrementalVacuum = (pages: number): Effect.Effect<number, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const before = yield* read
    const count = before.isIncremental ? Math.min(pages, before.free / before.pageSize) : 0
    if (count === 0) return 0
    // The driver steps once through a statement without columns, and a step frees one page.
    yield* sql.withTransaction(
      Effect.forEach(Array.from({ length: count }), () => sql`PRAGMA incremental_vacuum(1)`, { discard: true })
    )
    return before.file - (yield* read).file
  })

/**
 * The disk has too little free space to rewrite the file. The file is unchanged.
 *
 * @category errors
 * @since 0.1.0
 */
export class InsufficientSpace extends Schema.TaggedError<InsufficientSpace>(
  "athena-hooks/sql/SqliteSpace/InsufficientSpace"
)("InsufficientSpace", {
  /** In bytes. */
  needed: Schema.Int,
  /** In bytes. */
  available: Schema.Int
}) {
  override get message(): string {
    return `rewriting the database file needs ${megabytes(this.needed)} of free disk space; ${megabytes(this.available)} are available`
  }
}

/** The free space of a folder's disk for this user, in bytes; unlimited if it is unknown. */
const availableSpace = (folder: string): Effect.Effect<number> =>
  Effect.orElseSucceed(
    Effect.tryPromise(async () => {
      const { bavail, bsize } = await process.getBuiltinModule("node:fs").promises.statfs(folder)
      return bavail * bsize
    }),
    () => Number.MAX_SAFE_INTEGER
  )

/**
 * Writes the log back into the file and truncates it, which needs a time without readers: retries for five seconds.
 *
 * @category combinators
 * @since 0.1.0
 */
export const truncateLog: Effect.Effect<void, SqlError, SqlClient.SqlClient> = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql<{ busy: number }>`PRAGMA wal_checkpoint(TRUNCATE)`
).pipe(
  Effect.repeat({
    until: ([row]) => row?.busy !== 1,
    schedule: Schedule.spaced("20 millis").pipe(Schedule.upTo({ duration: "5 seconds" }))
  }),
  Effect.asVoid
)

/**
 * Rewrites the file of the `SqlClient` without its free pages, and enables `incrementalVacuum` for it. Writers wait, for
 * some seconds per gigabyte. It needs twice the pages in use on the disk of this folder, the file's own; fails with
 * `InsufficientSpace` otherwise.
 *
 * @category combinators
 * @since 0.1.0
 */
export const rewrite = (folder: string): Effect.Effect<void, InsufficientSpace | SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const needed = 2 * (yield* read).live
    const available = yield* availableSpace(folder)
    if (available < needed) return yield* new InsufficientSpace({ needed, available })
    yield* sql`PRAGMA auto_vacuum = INCREMENTAL`
    yield* sql`VACUUM`
    yield* truncateLog
  })
