/**
 * The path of the daemon's unix socket.
 *
 * On close Node.js removes the path that it listened on, even if another process's socket has that path by then. The
 * daemon therefore listens on a path of its own and renames it: the rename is atomic, and the public path is removed only
 * while it still leads to this socket.
 *
 * A cleaner of `/tmp` may remove the socket or its folder while the daemon runs. The daemon restores both, because without
 * them no client finds it.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { fileIdentity } from "../../internal/fileIdentity.ts"
import { problemOf } from "../../internal/privateFolder.ts"

const isNamedPipe = (socket: string): boolean => socket.startsWith("\\\\")

/** No longer than `socket`: the path of a socket has a short limit. */
const temporaryPath = (socket: string): string => path.join(path.dirname(socket), `s${process.pid.toString(36)}`)

const checkInterval = "5 seconds"

type Listen<E, R> = (path: string) => Effect.Effect<void, E, R>

const listenOnce = <E, R>(socket: string, listen: Listen<E, R>) =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const temporary = temporaryPath(socket)
    yield* Effect.ignore(files.remove(temporary, { force: true }))
    yield* listen(temporary)
    yield* Effect.acquireRelease(
      Effect.gen(function* () {
        yield* files.chmod(temporary, 0o600)
        yield* files.rename(temporary, socket)
        return fileIdentity(socket)
      }),
      (identity) => (fileIdentity(socket) === identity ? Effect.ignore(files.remove(socket)) : Effect.void)
    )
  })

/** Makes the folder again, but not its parent: a removed home stays removed. */
const isFolderUsable = (folder: string) =>
  Effect.sync(() => {
    const problem = problemOf(folder)
    if (problem !== "absent") return problem === undefined
    try {
      fs.mkdirSync(folder, { mode: 0o700 })
      return problemOf(folder) === undefined
    } catch {
      return false
    }
  })

/**
 * Listens on a socket until the scope closes, and listens again after its path was removed. The folder of a socket inside
 * `home` is not restored: without it the daemon has lost its lock as well, and ends.
 */
export const listen = <E, R>(
  socket: string,
  home: string,
  listen: Listen<E, R>,
  interval: Duration.Input = checkInterval
) =>
  Effect.gen(function* () {
    if (isNamedPipe(socket)) return yield* listen(socket)
    const scope = yield* Effect.scope
    const folder = path.dirname(socket)
    const open = Effect.gen(function* () {
      const current = yield* Scope.fork(scope)
      yield* listenOnce(socket, listen).pipe(
        Scope.provide(current),
        Effect.onError((cause) => Scope.close(current, Exit.failCause(cause)))
      )
      return current
    })
    let current = yield* open
    const restore = Effect.gen(function* () {
      if (fileIdentity(socket) !== undefined) return
      if (folder.startsWith(`${home}/`) ? problemOf(folder) !== undefined : !(yield* isFolderUsable(folder))) return
      // Closed first: the new socket may get the inode of the removed one.
      yield* Scope.close(current, Exit.void)
      current = yield* open
      yield* Effect.logWarning(`${socket} was removed by another program, and was restored`)
    }).pipe(Effect.ignore)
    yield* Effect.forkScoped(Effect.repeat(Effect.delay(restore, interval), Schedule.forever))
  })
