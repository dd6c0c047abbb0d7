/**
 * The endpoint that `athena install` writes to settings.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Redacted from "effect/Redacted"
import * as Endpoint from "../daemon/Endpoint.ts"
import * as Layout from "../host/paths.ts"
import * as Ports from "../daemon/ports.ts"
import * as Repository from "../hooks/Repository.ts"
import * as DaemonProbe from "../daemon/DaemonProbe.ts"

export interface InstallEndpoint {
  readonly endpoint: Endpoint.Endpoint
  /** Notices for the user. */
  readonly notes: ReadonlyArray<string>
}

/** Returns the endpoint that `make` would return, without creating it. A new token is a placeholder. */
export const planned = (home: string) =>
  Effect.map(Endpoint.read(home), (endpoint): InstallEndpoint => ({
    endpoint: Option.getOrElse(endpoint, () => ({
      port: Layout.defaultPort(home),
      token: Redacted.make("made-when-it-is-installed")
    })),
    notes: []
  }))

/** Replaces the port that another program occupies, and the token: that program may have received it. */
const replaced = Effect.fnUntraced(function* (home: string, held: Endpoint.Endpoint) {
  const endpoint = yield* Endpoint.replace(home, held)
  const note = `another program listens on port ${held.port}: events are posted to port ${endpoint.port} with a new token`
  return { endpoint, notes: [note] }
})

/**
 * Returns the endpoint of a home on a free port, and creates it if necessary. A daemon with another port or database is
 * stopped; the next session starts a new one.
 */
export const make = Effect.fnUntraced(function* (home: string) {
  const recorded = yield* Endpoint.make(home)
  const daemon = yield* DaemonProbe.probe(home)
  const isOurs = daemon._tag === "Running" && daemon.health.port === recorded.port
  // A daemon that does not respond may occupy the port.
  const mayBeOurs = isOurs || daemon._tag === "Unresponsive" || daemon._tag === "Refused"
  const isTaken = !mayBeOurs && (yield* Ports.isHeld(recorded.port))
  // The stop request needs the recorded token, so it precedes a new token.
  const mustEnd = daemon._tag === "Running" && (!isOurs || DaemonProbe.hasOtherDatabase(daemon.health))
  const ended = mustEnd && (yield* DaemonProbe.stop(home))
  const chosen: InstallEndpoint = isTaken ? yield* replaced(home, recorded) : { endpoint: recorded, notes: [] }
  if (!ended) return chosen
  return {
    ...chosen,
    notes: [...chosen.notes, "the daemon is stopping; the next session starts it again"]
  }
})

/** Returns the repository that contains a file, with symbolic links resolved. */
const repositoryOf = Effect.fnUntraced(
  function* (file: string) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const { worktreePath } = yield* Repository.find(path.dirname(yield* fs.realPath(file)))
    return (yield* fs.exists(path.join(worktreePath, ".git"))) ? Option.some(worktreePath) : Option.none<string>()
  },
  Effect.orElseSucceed(Option.none<string>)
)

/** Warns if settings with a token are in a repository. */
export const warnings = Effect.fnUntraced(function* (file: string) {
  const repository = yield* repositoryOf(file)
  return Option.toArray(repository).map(
    (path) => `warning: ${file} is in the git repository ${path}: do not commit the token`
  )
})
