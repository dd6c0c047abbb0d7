/**
 * Authenticates a request: it needs the token, and must not come from a page in a browser.
 */
import { timingSafeEqual } from "node:crypto"
import type * as Headers from "effect/http/Headers"
import { headers as names, protocol } from "../../host/paths.ts"

/** The listener of a request. */
export type Listener = { readonly _tag: "Loopback"; readonly port: number } | { readonly _tag: "Socket" }

export interface RequestAuth {
  /** The expected `authorization` header. */
  readonly authorization: Buffer
  /** `databaseOf` the daemon's environment. */
  readonly database: string
}

export const make = (token: string, database: string): RequestAuth => ({
  authorization: Buffer.from(`Bearer ${token}`),
  database
})

/** All tokens have the same length, which is no secret; the comparison takes constant time. */
const isKnown = ({ authorization }: RequestAuth, headers: Headers.Headers): boolean => {
  const given = Buffer.from(headers["authorization"] ?? "")
  return given.length === authorization.length && timingSafeEqual(given, authorization)
}

/** Protects against DNS rebinding: the browser sends the page's own host name. */
const isOwnHost = (host: string | undefined, port: number): boolean =>
  host === `127.0.0.1:${port}` || host === `localhost:${port}` || host === `[::1]:${port}`

const differs = (headers: Headers.Headers, name: string, own: string): boolean =>
  headers[name] !== undefined && headers[name] !== own

/** The status to reject a request with before its body is read; `undefined` if it is accepted. */
export const refuse = (auth: RequestAuth, listener: Listener, headers: Headers.Headers): number | undefined => {
  if (!isKnown(auth, headers)) return 401
  if (headers["origin"] !== undefined) return 403
  if (listener._tag === "Loopback" && !isOwnHost(headers["host"], listener.port)) return 403
  if (differs(headers, names.protocol, protocol) || differs(headers, names.database, auth.database)) return 409
  return undefined
}
