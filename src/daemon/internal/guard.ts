/**
 * Who may ask: whoever has the token, by a request that no page in a browser could make. Pure.
 */
import { createHash, timingSafeEqual } from "node:crypto"
import type * as Headers from "effect/http/Headers"
import { headers as names, protocol } from "./layout.ts"

/** Where a request came in. */
export type Listener = { readonly _tag: "Loopback"; readonly port: number } | { readonly _tag: "Socket" }

export interface Guard {
  /** The digest of the token. */
  readonly token: Buffer
  /** `databaseOf` the process's own environment. */
  readonly database: string
}

const digest = (text: string): Buffer => createHash("sha256").update(text).digest()

export const make = (token: string, database: string): Guard => ({ token: digest(`Bearer ${token}`), database })

/** Digests have one length, so the time says nothing of the token. */
const isKnown = (guard: Guard, headers: Headers.Headers): boolean =>
  timingSafeEqual(digest(headers["authorization"] ?? ""), guard.token)

/** A page that has its own name resolve to this machine still sends that name. */
const isOwnHost = (host: string | undefined, port: number): boolean =>
  host === `127.0.0.1:${port}` || host === `localhost:${port}` || host === `[::1]:${port}`

const differs = (headers: Headers.Headers, name: string, own: string): boolean =>
  headers[name] !== undefined && headers[name] !== own

/** The status that a request is refused with, before its body is read; `undefined` where it is not. */
export const refuse = (guard: Guard, listener: Listener, headers: Headers.Headers): number | undefined => {
  if (!isKnown(guard, headers)) return 401
  if (headers["origin"] !== undefined) return 403
  if (listener._tag === "Loopback" && !isOwnHost(headers["host"], listener.port)) return 403
  if (differs(headers, names.protocol, protocol) || differs(headers, names.database, guard.database)) return 409
  return undefined
}
