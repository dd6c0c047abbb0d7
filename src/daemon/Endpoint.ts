/**
 * The endpoint of a home's daemon: its port on loopback, and the token that every request needs.
 *
 * Both are files of mode 600 in the folder `daemon` of the home, which has mode 700. The first process that needs them
 * creates them, and they remain, because the settings of agents contain them. Concurrent creators end with the same
 * values.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import type * as Path from "effect/Path"
import * as Redacted from "effect/Redacted"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Database from "../sql/Database.ts"
import { EndpointError, NoFreePort } from "./EndpointError.ts"
import { hostPaths } from "../host/paths.ts"
import * as OwnFile from "./internal/endpointFile.ts"
import * as Ports from "./ports.ts"

/**
 * Port and token of the daemon of a home.
 *
 * @category models
 * @since 0.1.0
 */
export interface Endpoint {
  /** On 127.0.0.1. */
  readonly port: number
  /** 32 random bytes in base64url: 43 letters. */
  readonly token: Redacted.Redacted
}

const tokenOf = (text: string): Redacted.Redacted => Redacted.make(text, { label: "athena token" })

const parseToken = (text: string): Option.Option<Redacted.Redacted> =>
  /^[\w-]{43}$/.test(text) ? Option.some(tokenOf(text)) : Option.none()

const parsePort = (text: string): Option.Option<number> =>
  /^[1-9]\d{0,4}$/.test(text) && Number(text) <= 65_535 ? Option.some(Number(text)) : Option.none()

const newToken = Effect.sync(() => tokenOf(Buffer.from(SecureRandom.randomBytesUnsafe(32)).toString("base64url")))

/**
 * The URL of an endpoint, without a path.
 *
 * **Example**
 *
 * ```ts
 * import * as Endpoint from "athena-hooks/daemon/Endpoint"
 *
 * Endpoint.url({ port: 21234 }) // "http://127.0.0.1:21234"
 * ```
 *
 * @category accessors
 * @since 0.1.0
 */
export const url = ({ port }: Pick<Endpoint, "port">): string => `http://127.0.0.1:${port}`

/**
 * The endpoint of a home; none if it was not created yet, or a part is missing or damaged, which `make` repairs. Files
 * that other users can read are restricted.
 *
 * Fails with `EndpointError`: `ForeignFile` or `NotAccessible`.
 *
 * @category accessors
 * @since 0.1.0
 */
export const read = Effect.fnUntraced(function* (
  home: string
): Effect.fn.Return<Option.Option<Endpoint>, EndpointError, FileSystem.FileSystem> {
  const layout = hostPaths(home)
  const port = Option.flatMap(yield* OwnFile.read(layout.port), parsePort)
  const token = Option.flatMap(yield* OwnFile.read(layout.token), parseToken)
  return Option.all({ port, token })
})

const makeFolder = Effect.fnUntraced(function* (folder: string) {
  const fs = yield* FileSystem.FileSystem
  const info = yield* Effect.andThen(Database.makeFolder(folder), fs.stat(folder)).pipe(
    Effect.mapError(OwnFile.accessError(folder, "making it"))
  )
  yield* OwnFile.restrict(folder, info, 0o700)
})

/** Locked while the files are created or replaced. */
const lockOf = (folder: string): string => `${folder}/endpoint.lock`

/** Reads the value of a file; writes a fresh one if the file is absent or invalid. */
const obtain = Effect.fnUntraced(function* <A, R>(
  file: string,
  parse: (text: string) => Option.Option<A>,
  fresh: Effect.Effect<A, EndpointError, R>,
  print: (value: A) => string
) {
  const found = Option.flatMap(yield* OwnFile.read(file), parse)
  if (Option.isSome(found)) return found.value
  const value = yield* fresh
  yield* OwnFile.replace(file, print(value))
  return value
})

const freePort = Effect.fnUntraced(function* (home: string, held: number | undefined) {
  const candidates = Ports.candidates(home)
  const free = yield* Effect.findFirst(candidates, (port) =>
    port === held ? Effect.succeed(false) : Ports.isFree(port)
  )
  if (Option.isSome(free)) return free.value
  const [first = 0] = candidates
  return yield* new EndpointError({ reason: new NoFreePort({ first, last: candidates.at(-1) ?? first }) })
})

/**
 * The endpoint of a home, created on first use: the port derived from its path, or the next free one of 100. A damaged
 * file is replaced.
 *
 * Fails with `EndpointError`: `ForeignFile`, `NotAccessible` or `NoFreePort`.
 *
 * **Example**
 *
 * ```ts
 * import * as Endpoint from "athena-hooks/daemon/Endpoint"
 * import * as Effect from "effect/Effect"
 *
 * const address = Effect.map(Endpoint.make("/home/ada/.athena"), Endpoint.url)
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  home: string
): Effect.fn.Return<Endpoint, EndpointError, FileSystem.FileSystem | Path.Path> {
  const layout = hostPaths(home)
  yield* makeFolder(layout.folder)
  const found = yield* read(home)
  if (Option.isSome(found)) return found.value
  const made = Effect.all({
    token: obtain(layout.token, parseToken, newToken, Redacted.value),
    port: obtain(layout.port, parsePort, freePort(home, undefined), String)
  })
  // Each creator reads again under the lock, so all get the values of the first one.
  return yield* OwnFile.exclusively(lockOf(layout.folder), made)
})

/**
 * Replaces port and token of a home, because another program holds the port and may have received the token. Returns
 * the recorded ones if they differ already.
 *
 * Fails as `make` does.
 *
 * @category constructors
 * @since 0.1.0
 */
export const replace = Effect.fnUntraced(function* (
  home: string,
  held: Endpoint
): Effect.fn.Return<Endpoint, EndpointError, FileSystem.FileSystem | Path.Path> {
  const layout = hostPaths(home)
  yield* makeFolder(layout.folder)
  const heldToken = Redacted.value(held.token)
  const otherToken = (text: string) => Option.filter(parseToken(text), (token) => Redacted.value(token) !== heldToken)
  const otherPort = (text: string) => Option.filter(parsePort(text), (port) => port !== held.port)
  const other = Effect.all({
    token: obtain(layout.token, otherToken, newToken, Redacted.value),
    port: obtain(layout.port, otherPort, freePort(home, held.port), String)
  })
  return yield* OwnFile.exclusively(lockOf(layout.folder), other)
})
