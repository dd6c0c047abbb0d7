/**
 * How full a file of SQLite is, and how space that is free in it goes back to the disk.
 *
 * SQLite keeps the pages that a deletion frees, for what is written next; the file does not shrink by itself. A file that
 * was made with `autoVacuum: "incremental"` gives pages back in steps that are as short as one likes. Any other file has
 * to be written anew as a whole.
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
 * How full a file is.
 *
 * @category models
 * @since 0.1.0
 */
export interface Space {
  /** The size of the file, in bytes, without the log that lies beside it. */
  readonly file: number
  /** What is in use, in bytes. */
  readonly live: number
  /** What is free inside the file, in bytes. */
  readonly free: number
  /** The size of a page, in bytes. */
  readonly pageSize: number
  /** Whether `giveBack` can do anything. */
  readonly isIncremental: boolean
}

/**
 * Reads how full the file of the `SqlClient` is: one statement, whatever its size.
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
 * Gives up to so many free pages back to the disk, in one transaction, and says how many bytes that were. Others wait for
 * it as for any write: 64 pages take about half a millisecond.
 *
 * @category combinators
 * @since 0.1.0
 */
export const giveBack = (pages: number): Effect.Effect<number, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const before = yield* read
    const count = before.isIncremental ? Math.min(pages, before.free / before.pageSize) : 0
    if (count === 0) return 0
    // The driver takes one step of a statement that has no columns, and a step frees one page.
    yield* sql.withTransaction(
      Effect.forEach(Array.from({ length: count }), () => sql`PRAGMA incremental_vacuum(1)`, { discard: true })
    )
    return before.file - (yield* read).file
  })

/**
 * The disk has no room to write the file anew. Nothing was changed.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoRoom extends Schema.TaggedError<NoRoom>("athena-hooks/sql/SqliteSpace/NoRoom")("NoRoom", {
  /** How much is needed, in bytes. */
  needed: Schema.Int,
  /** How much there is, in bytes. */
  available: Schema.Int
}) {
  override get message(): string {
    return `to write the database file anew takes ${megabytes(this.needed)} of free disk, and there is ${megabytes(this.available)}`
  }
}

/** How much a folder's disk has left for this user, in bytes; without a limit where it does not say. */
const available = (folder: string): Effect.Effect<number> =>
  Effect.orElseSucceed(
    Effect.tryPromise(async () => {
      const { bavail, bsize } = await process.getBuiltinModule("node:fs").promises.statfs(folder)
      return bavail * bsize
    }),
    () => Number.MAX_SAFE_INTEGER
  )

/** The rewrite is in the log; the file shrinks at the checkpoint, which needs a time without readers. */
const takeOver = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql<{ busy: number }>`PRAGMA wal_checkpoint(TRUNCATE)`
).pipe(
  Effect.repeat({
    until: ([row]) => row?.busy !== 1,
    schedule: Schedule.spaced("20 millis").pipe(Schedule.upTo({ duration: "5 seconds" }))
  })
)

/**
 * Writes the file of the `SqlClient` anew, without what is free in it, so that it can give space back in steps from now
 * on. Writers wait meanwhile, some seconds a gigabyte, and it takes twice the size of what is in use of the disk while
 * it lasts: `NoRoom` where the disk of this folder, that of the file, has not got it.
 *
 * @category combinators
 * @since 0.1.0
 */
export const rewrite = (folder: string): Effect.Effect<void, NoRoom | SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const needed = 2 * (yield* read).live
    const room = yield* available(folder)
    if (room < needed) return yield* new NoRoom({ needed, available: room })
    yield* sql`PRAGMA auto_vacuum = INCREMENTAL`
    yield* sql`VACUUM`
    yield* takeOver
  })
