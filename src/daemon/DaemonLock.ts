/**
 * Ensures a single daemon per home.
 *
 * The operating system releases the lock when the process ends, however it ends: a kill leaves no stale lock, and a
 * reused process id can't hold it. The lock is an open exclusive transaction of SQLite on a dedicated file. A second
 * file identifies the holder, for people and for a takeover; it is valid only while the lock is held.
 *
 * @since 0.1.0
 */
import * as fs from "node:fs"
import * as path from "node:path"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as SecureRandom from "effect/crypto/SecureRandom"
import type * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Database from "../sql/Database.ts"
import * as FileLock from "../internal/fileLock.ts"
import { fileIdentity } from "../internal/fileIdentity.ts"
import { hostPaths } from "../host/paths.ts"
import { problemOf } from "../internal/privateFolder.ts"
import { startTimeOf } from "./internal/processStartTime.ts"

const id = "athena-hooks/daemon/DaemonLock"

/**
 * Identity of the lock's holder.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Identity = Schema.Struct({
  /** A UUID of this run of the process. */
  instance: Schema.String,
  pid: Schema.Int,
  /**
   * Start time of the process, in clock ticks since the host booted. Together with the pid it identifies a process.
   * `null` on systems other than Linux.
   */
  startTime: Schema.NullOr(Schema.Finite),
  version: Schema.String,
  /** When the lock was acquired, as ISO 8601. */
  startedAt: Schema.String
})

/**
 * Identity of the lock's holder.
 *
 * @category models
 * @since 0.1.0
 */
export type Identity = typeof Identity.Type

/**
 * Another process holds the lock.
 *
 * @category errors
 * @since 0.1.0
 */
export class LockHeld extends Schema.TaggedError<LockHeld>(`${id}/LockHeld`)("LockHeld", {
  /** The last recorded holder; `null` if it can't be read. A hint, not a proof. */
  identity: Schema.NullOr(Identity)
}) {
  override get message(): string {
    const who = this.identity === null ? "another process" : `process ${this.identity.pid}`
    return `${who} is already the daemon of this home; to stop it, run: athena stop`
  }
}

/**
 * The folder of the daemon can't be used. Nothing was changed.
 *
 * @category errors
 * @since 0.1.0
 */
export class FolderRefused extends Schema.TaggedError<FolderRefused>(`${id}/FolderRefused`)("FolderRefused", {
  folder: Schema.String,
  /** The problem and the next step. */
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.folder} can't be the folder of the daemon: ${this.detail}`
  }
}

/**
 * The lock file can't be opened or locked, and not because another process holds it.
 *
 * @category errors
 * @since 0.1.0
 */
export class LockUnusable extends Schema.TaggedError<LockUnusable>(`${id}/LockUnusable`)("LockUnusable", {
  file: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `${this.file} can't be locked; while no athena process runs it may be deleted`
  }
}

/**
 * Errors of acquiring the lock.
 *
 * @category errors
 * @since 0.1.0
 */
export type DaemonLockError = LockHeld | FolderRefused | LockUnusable

/**
 * Options of the lock.
 *
 * @category models
 * @since 0.1.0
 */
export interface DaemonLockOptions {
  /** Absolute path of the home, see `Database.home`. Created if absent. */
  readonly home: string
  /** Version of the program that acquires the lock. */
  readonly version: string
}

/**
 * How long one attempt blocks the thread, in milliseconds. Concurrent attempts obstruct each other briefly: without the
 * wait all of them could fail.
 */
const attemptTimeoutMs = 100

/**
 * Creates the folder, or restricts this user's own folder to its owner. `advice` is the next step in the error message.
 */
const ensureFolder = (folder: string, advice: string) =>
  Effect.gen(function* () {
    yield* Database.makeFolder(folder)
    if (problemOf(folder) === "open to others") yield* (yield* FileSystem.FileSystem).chmod(folder, 0o700)
  }).pipe(
    Effect.mapError(
      ({ reason }) => new FolderRefused({ folder, detail: `it can't be made or closed: ${reason._tag}` })
    ),
    Effect.andThen(
      Effect.suspend(() => {
        const problem = problemOf(folder)
        return problem === undefined
          ? Effect.void
          : Effect.fail(new FolderRefused({ folder, detail: `it is ${problem}; ${advice}` }))
      })
    )
  )

/** Creates the folder of a socket outside the home. The scope removes it. */
const socketFolder = (socket: string) =>
  Effect.gen(function* () {
    const folder = path.dirname(socket)
    yield* Effect.acquireRelease(ensureFolder(folder, "remove it, or set ATHENA_HOME to a shorter path"), () =>
      // Fails if another process listens in the folder by now.
      Effect.ignore(Effect.try(() => fs.rmdirSync(folder)))
    )
  })

const decodeIdentity = Schema.decodeEffect(Schema.fromJsonString(Identity))

/**
 * The last recorded holder of the lock of a home; `null` if none is recorded or it can't be read. A hint: a killed
 * process leaves it behind.
 *
 * @category accessors
 * @since 0.1.0
 */
export const identity = (home: string): Effect.Effect<Identity | null, never, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const text = yield* (yield* FileSystem.FileSystem).readFileString(hostPaths(home).identity)
    return yield* decodeIdentity(text)
  }).pipe(Effect.orElseSucceed(() => null))

/**
 * Whether the process of an identity is alive: pid and start time match. Always false on systems that don't expose the
 * start time.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isAlive = ({ pid, startTime }: Identity): boolean => startTime !== null && startTimeOf(pid) === startTime

const acquireLock = (file: string) =>
  Effect.mapError(FileLock.acquire(file, attemptTimeoutMs), (error) =>
    error._tag === "Busy" ? error : new LockUnusable({ file, cause: error.cause })
  )

/**
 * Whether a process holds the lock of a home. Creates nothing.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isHeld = (home: string): Effect.Effect<boolean, LockUnusable> =>
  Effect.suspend(() => {
    const file = hostPaths(home).lock
    if (!fs.existsSync(file)) return Effect.succeed(false)
    return Effect.scoped(acquireLock(file)).pipe(
      Effect.as(false),
      Effect.catchTag("Busy", () => Effect.succeed(true))
    )
  })

const { uuidV4 } = SecureRandom.make(SecureRandom.randomBytesUnsafe)

const currentIdentity = (version: string): Effect.Effect<Identity> =>
  Effect.gen(function* () {
    return {
      instance: yield* uuidV4(),
      pid: process.pid,
      startTime: startTimeOf(process.pid),
      version,
      startedAt: DateTime.formatIso(yield* DateTime.now)
    }
  })

/** Records the holder until the scope closes. The rename makes the file appear complete. */
const publishIdentity = (home: string, own: Identity) =>
  Effect.gen(function* () {
    const file = hostPaths(home).identity
    const files = yield* FileSystem.FileSystem
    const temporary = `${file}.new`
    const write = Effect.andThen(
      files.writeFileString(temporary, JSON.stringify(own), { mode: 0o600 }),
      files.rename(temporary, file)
    )
    yield* Effect.acquireRelease(
      Effect.mapError(write, (cause) => new LockUnusable({ file, cause })),
      () =>
        // If the lock file was removed, the record may belong to the holder of a new one.
        Effect.flatMap(identity(home), (last) =>
          last?.instance === own.instance ? Effect.ignore(files.remove(file)) : Effect.void
        )
    )
  })

/**
 * Returns a check whether the lock that this process holds is still the lock of the home. It is not after its file or
 * the home was removed or replaced: another process may then acquire a new lock, and no client finds this process.
 *
 * @category constructors
 * @since 0.1.0
 */
export const watch = (home: string): Effect.Effect<() => boolean> =>
  Effect.sync(() => {
    const file = hostPaths(home).lock
    const own = fileIdentity(file)
    return () => own !== undefined && fileIdentity(file) === own
  })

/**
 * Acquires the lock of a home until the scope closes. One attempt of 100 ms; `DaemonTakeover` waits for the holder or
 * replaces it.
 *
 * **Example**
 *
 * ```ts
 * import * as DaemonLock from "athena-hooks/daemon/DaemonLock"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.scoped(
 *   Effect.gen(function* () {
 *     const { instance } = yield* DaemonLock.acquire({ home: "/home/ada/.athena", version: "1.0.0" })
 *     yield* Effect.log(`alone on this home, as ${instance}`)
 *   })
 * )
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const acquire = (
  options: DaemonLockOptions
): Effect.Effect<Identity, DaemonLockError, Scope.Scope | FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const places = hostPaths(options.home)
    yield* ensureFolder(places.folder, "set ATHENA_HOME to a folder of your own")
    yield* Effect.catchTag(acquireLock(places.lock), "Busy", () =>
      Effect.flatMap(identity(options.home), (holder) => Effect.fail(new LockHeld({ identity: holder })))
    )
    if (process.platform !== "win32" && path.dirname(places.socket) !== places.folder) {
      yield* socketFolder(places.socket)
    }
    const holder = yield* currentIdentity(options.version)
    yield* publishIdentity(options.home, holder)
    return holder
  }).pipe(Effect.uninterruptible)
