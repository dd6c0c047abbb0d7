/**
 * The name of a unix socket that one process listens on, as long as it is that process's own.
 *
 * Node.js removes the path that it listened on when it closes, whoever's socket lies there by then. So it listens on a
 * name that no other process has, and the socket gets the name that is looked for afterwards: at once, so that nobody
 * finds none in between.
 */
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { fileIdentity } from "../../internal/fileIdentity.ts"

const isNamedPipe = (socket: string): boolean => socket.startsWith("\\\\")

/** Where this process listens first. It is no longer than `socket`, for the path of a socket has a short limit. */
const temporaryPath = (socket: string): string => path.join(path.dirname(socket), `s${process.pid.toString(36)}`)

/** Listens by `listen` on the path that it is given; the name is gone again before what `listen` has opened is closed. */
export const listen = <A, E, R>(socket: string, listen: (path: string) => Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    if (isNamedPipe(socket)) return yield* listen(socket)
    const files = yield* FileSystem.FileSystem
    const draft = temporaryPath(socket)
    yield* Effect.ignore(files.remove(draft, { force: true }))
    const server = yield* listen(draft)
    yield* Effect.acquireRelease(
      Effect.gen(function* () {
        yield* files.chmod(draft, 0o600)
        yield* files.rename(draft, socket)
        return fileIdentity(socket)
      }),
      (mark) => (fileIdentity(socket) === mark ? Effect.ignore(files.remove(socket)) : Effect.void)
    )
    return server
  })
