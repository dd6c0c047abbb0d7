/**
 * What `install`, `uninstall` and `doctor` ask the resident process of a home, over its socket.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Endpoint from "../daemon/Endpoint.ts"
import * as Layout from "../daemon/internal/layout.ts"
import * as LocalRequest from "./localRequest.ts"

/** What it says of itself. */
const Health = Schema.Struct({
  version: Schema.String,
  pid: Schema.Int,
  /** On loopback; none where it has none. */
  port: Schema.NullOr(Schema.Int),
  /** What is wrong with it, for a person. */
  problem: Schema.NullOr(Schema.String)
})

export type Health = typeof Health.Type

/** How a process that was asked is found. */
export type Resident =
  | { readonly _tag: "Running"; readonly health: Health }
  | { readonly _tag: "Absent" }
  /** It is there, and knows another token or speaks another protocol. */
  | { readonly _tag: "Refused"; readonly status: number }
  /** Somebody has the socket, and nothing that makes sense comes from there. */
  | { readonly _tag: "Silent"; readonly detail: string }

/** How long an answer may take, in milliseconds. */
const timeoutMs = 2_000

/** Whether nobody else could have put a socket into a folder, who would get the token of whoever asks there. */
const isOwn = (info: FileSystem.File.Info): boolean => {
  const own = process.getuid?.()
  return own === undefined || (info.type === "Directory" && Option.contains(info.uid, own) && (info.mode & 0o077) === 0)
}

const isTrusted = Effect.fnUntraced(function* (socket: string) {
  if (process.platform === "win32") return true
  const fs = yield* FileSystem.FileSystem
  const info = yield* Effect.option(fs.lstat((yield* Path.Path).dirname(socket)))
  return Option.isSome(info) && isOwn(info.value)
})

/** Sends a request to the process of a home. */
const send = Effect.fnUntraced(function* (home: string, method: "GET" | "POST", path: string) {
  const { socket } = yield* Endpoint.layoutOf(home)
  const endpoint = yield* Effect.orElseSucceed(Endpoint.read(home), () => Option.none<Endpoint.Endpoint>())
  if (Option.isNone(endpoint) || !(yield* isTrusted(socket)))
    return yield* new LocalRequest.NoAnswer({ code: "ENOENT" })
  const headers = {
    authorization: `Bearer ${Redacted.value(endpoint.value.token)}`,
    [Layout.headers.protocol]: Layout.protocol
  }
  return yield* LocalRequest.send({ method, url: `http://127.0.0.1${path}`, socket, headers, timeoutMs })
})

const isNobody = ({ code }: LocalRequest.NoAnswer): boolean => code === "ENOENT" || code === "ECONNREFUSED"

const read = ({ body, status }: LocalRequest.LocalResponse): Effect.Effect<Resident> => {
  if (status === 401 || status === 409) return Effect.succeed({ _tag: "Refused", status })
  if (status !== 200) return Effect.succeed({ _tag: "Silent", detail: `it answers with status ${status}` })
  return Schema.decodeEffect(Schema.fromJsonString(Health))(body).pipe(
    Effect.map((health): Resident => ({ _tag: "Running", health })),
    Effect.orElseSucceed((): Resident => ({ _tag: "Silent", detail: "it does not answer as athena-hooks does" }))
  )
}

/** How the process of a home is. */
export const ask = (home: string): Effect.Effect<Resident, never, FileSystem.FileSystem | Path.Path> =>
  send(home, "GET", "/health").pipe(
    Effect.flatMap(read),
    Effect.catch((error) =>
      Effect.succeed<Resident>(
        isNobody(error) ? { _tag: "Absent" } : { _tag: "Silent", detail: `no answer came (${error.code})` }
      )
    )
  )

/** Asks the process of a home to end, and says whether there was one that does. */
export const stop = (home: string): Effect.Effect<boolean, never, FileSystem.FileSystem | Path.Path> =>
  send(home, "POST", "/stop").pipe(
    Effect.map(({ status }) => status === 202),
    Effect.orElseSucceed(() => false)
  )
