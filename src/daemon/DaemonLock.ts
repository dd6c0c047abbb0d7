/**
 * One resident process a home, ever.
 *
 * Who holds the lock is known to the operating system, which frees it with the process, however that ends: a kill leaves
 * nothing stale behind, and no number of a process can be taken for another's. It is the lock of an open transaction of
 * SQLite on a file of its own. A second file says who holds it, for people and for who wants to take its place; it is
 * believed only while the lock is held.
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
 * Who holds the lock.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Identity = Schema.Struct({
  /** A UUID that names this life of the process. */
  instance: Schema.String,
  pid: Schema.Int,
  /**
   * When the process started, in clock ticks since the host did: with the pid, what tells it from every other process.
   * `null` on other systems than Linux.
   */
  startTime: Schema.NullOr(Schema.Finite),
  version: Schema.String,
  /** When the lock was taken, as ISO 8601. */
  startedAt: Schema.String
})

/**
 * Who holds the lock.
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
  /** Who said last that it holds it; `null` where that can't be read. It is a hint, no proof. */
  identity: Schema.NullOr(Identity)
}) {
  override get message(): string {
    const who = this.identity === null ? "another process" : `process ${this.identity.pid}`
    return `${who} is the resident process of this home already; end it by: athena stop`
  }
}

/**
 * The folder of the resident process can't be used. Nothing was changed.
 *
 * @category errors
 * @since 0.1.0
 */
export class FolderRefused extends Schema.TaggedError<FolderRefused>(`${id}/FolderRefused`)("FolderRefused", {
  folder: Schema.String,
  /** What is wrong with it, and what to do. */
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.folder} can't be the folder of the resident process: ${this.detail}`
  }
}

/**
 * The file of the lock can't be opened or locked, for another reason than that somebody holds it.
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
 * Why the lock could not be taken.
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
  /** The absolute path of the home, see `Database.home`. It is made where it is not there. */
  readonly home: string
  /** The version of the program that takes the lock. */
  readonly version: string
}

/**
 * How long one attempt waits, in milliseconds. It holds the thread. Those who try at the same instant stand in each
 * other's way for a moment; without it, none of them might get the lock.
 */
const attemptTimeoutMs = 100

/** Makes the folder where there is none, and closes it to others where it is ours and open. `advice` is what else to do. */
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

/** The folder of the socket, where that is another one. It goes with the scope. */
const socketFolder = (socket: string) =>
  Effect.gen(function* () {
    const folder = path.dirname(socket)
    yield* Effect.acquireRelease(ensureFolder(folder, "remove it, or set ATHENA_HOME to a shorter path"), () =>
      // Not where another process listens there by now.
      Effect.ignore(Effect.try(() => fs.rmdirSync(folder)))
    )
  })

const decodeIdentity = Schema.decodeEffect(Schema.fromJsonString(Identity))

/**
 * Who said last that it holds the lock of a home; `null` where nobody did, or it can't be read. It is a hint: a process
 * that was killed leaves it behind.
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
 * Whether a process is the one that an identity names: it is alive, and started when the identity says. Never where
 * the system does not tell when a process started.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isAlive = ({ pid, startTime }: Identity): boolean => startTime !== null && startTimeOf(pid) === startTime

/** The lock ends with its connection. */
const acquireLock = (file: string) =>
  Effect.mapError(FileLock.acquire(file, attemptTimeoutMs), (error) =>
    error._tag === "Busy" ? error : new LockUnusable({ file, cause: error.cause })
  )

/**
 * Whether a process holds the lock of a home. It makes nothing that is not there.
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

/** Says who holds the lock, for as long as it is held. The file is whole before it gets its name. */
const publishIdentity = (home: string, own: Identity) =>
  Effect.gen(function* () {
    const file = hostPaths(home).identity
    const files = yield* FileSystem.FileSystem
    const draft = `${file}.${own.pid}`
    const write = Effect.andThen(
      files.writeFileString(draft, JSON.stringify(own), { mode: 0o600 }),
      files.rename(draft, file)
    )
    yield* Effect.acquireRelease(
      Effect.mapError(write, (cause) => new LockUnusable({ file, cause })),
      () =>
        // Where the lock was removed, the file may be of who has made another one.
        Effect.flatMap(identity(home), (last) =>
          last?.instance === own.instance ? Effect.ignore(files.remove(file)) : Effect.void
        )
    )
  })

/**
 * Begins to look whether the lock that this process has just taken stays the lock of the home: not when its file, or the
 * whole home, is removed or replaced. Then another process may take the lock anew, and nobody finds this one any more.
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
 * Takes the lock of a home and holds it until the scope ends, or the process does. It is tried once, for a tenth of a
 * second: who wants to wait, or to take the place of the holder, uses `DaemonTakeover`.
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
