/**
 * Who may ask: whoever has the token, by a request that no page in a browser could make. Pure.
 */
import { timingSafeEqual } from "node:crypto"
import type * as Headers from "effect/http/Headers"
import { headers as names, protocol } from "../../host/paths.ts"

/** Where a request came in. */
export type Listener = { readonly _tag: "Loopback"; readonly port: number } | { readonly _tag: "Socket" }

export interface RequestAuth {
  /** What must stand in the header `authorization`. */
  readonly authorization: Buffer
  /** `databaseOf` the process's own environment. */
  readonly database: string
}

export const make = (token: string, database: string): RequestAuth => ({
  authorization: Buffer.from(`Bearer ${token}`),
  database
})

/** All tokens have one length, which is no secret; beyond it the time says nothing. */
const isKnown = ({ authorization }: RequestAuth, headers: Headers.Headers): boolean => {
  const given = Buffer.from(headers["authorization"] ?? "")
  return given.length === authorization.length && timingSafeEqual(given, authorization)
}

/** A page that has its own name resolve to this machine still sends that name. */
const isOwnHost = (host: string | undefined, port: number): boolean =>
  host === `127.0.0.1:${port}` || host === `localhost:${port}` || host === `[::1]:${port}`

const differs = (headers: Headers.Headers, name: string, own: string): boolean =>
  headers[name] !== undefined && headers[name] !== own

/** The status that a request is refused with, before its body is read; `undefined` where it is not. */
export const refuse = (auth: RequestAuth, listener: Listener, headers: Headers.Headers): number | undefined => {
  if (!isKnown(auth, headers)) return 401
  if (headers["origin"] !== undefined) return 403
  if (listener._tag === "Loopback" && !isOwnHost(headers["host"], listener.port)) return 403
  if (differs(headers, names.protocol, protocol) || differs(headers, names.database, auth.database)) return 409
  return undefined
}
