/**
 * The address that `athena install` writes into settings.
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
  /** What a person should know of how it came about. */
  readonly notes: ReadonlyArray<string>
}

/** What `make` would give as things stand, without making anything. The token is none where there is none. */
export const planned = (home: string) =>
  Effect.map(Endpoint.read(home), (endpoint): InstallEndpoint => ({
    endpoint: Option.getOrElse(endpoint, () => ({
      port: Layout.defaultPort(home),
      token: Redacted.make("made-when-it-is-installed")
    })),
    notes: []
  }))

/** Another port in the place of one that another program holds, and another token: that program may have been told it. */
const instead = Effect.fnUntraced(function* (home: string, held: Endpoint.Endpoint) {
  const endpoint = yield* Endpoint.replace(home, held)
  const note = `another program listens on port ${held.port}: events go to port ${endpoint.port}, with another token`
  return { endpoint, notes: [note] }
})

/**
 * The endpoint of a home, made if need be, on a port that nobody else has. A process that runs with another port or another
 * database is asked to end; the next session starts it anew.
 */
export const make = Effect.fnUntraced(function* (home: string) {
  const recorded = yield* Endpoint.make(home)
  const resident = yield* DaemonProbe.probe(home)
  const isOurs = resident._tag === "Running" && resident.health.port === recorded.port
  // Who holds the socket and says nothing may hold the port as well.
  const mayBeOurs = isOurs || resident._tag === "Unresponsive" || resident._tag === "Refused"
  const isTaken = !mayBeOurs && (yield* Ports.isHeld(recorded.port))
  // It knows the recorded token, so it is asked before that is replaced.
  const mustEnd = resident._tag === "Running" && (!isOurs || DaemonProbe.hasOtherDatabase(resident.health))
  const ended = mustEnd && (yield* DaemonProbe.stop(home))
  const chosen: InstallEndpoint = isTaken ? yield* instead(home, recorded) : { endpoint: recorded, notes: [] }
  if (!ended) return chosen
  return {
    ...chosen,
    notes: [...chosen.notes, "the resident process was asked to end: the next session starts it anew"]
  }
})

/** The repository that a file is really in, links followed; none where it is in none. */
const repositoryOf = Effect.fnUntraced(
  function* (file: string) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const { worktreePath } = yield* Repository.find(path.dirname(yield* fs.realPath(file)))
    return (yield* fs.exists(path.join(worktreePath, ".git"))) ? Option.some(worktreePath) : Option.none<string>()
  },
  Effect.orElseSucceed(Option.none<string>)
)

/** What a person should know whose settings hold an address and its token. */
export const warnings = Effect.fnUntraced(function* (file: string) {
  const repository = yield* repositoryOf(file)
  return Option.toArray(repository).map((path) => `warning: ${file} is in the git repository ${path}: commit no token`)
})
