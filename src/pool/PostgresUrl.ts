/**
 * Parses a connection URI in libpq's format: several hosts, Unix sockets, and every part also as a parameter.
 *
 * The platform's `URL` refuses several hosts and a user before an empty host, and re-encodes characters. No reason for
 * a refusal contains a part of the text, which may be a password.
 */
import * as Result from "effect/Result"
import type { Address } from "./internal/pgSession.ts"
import type { Target } from "./internal/poolOptions.ts"

/** The encryption of a session: `prefer` falls back where the server has no TLS, `noVerify` accepts any certificate. */
export type SslMode = "disable" | "prefer" | "require" | "noVerify"

/** The parts of a URL; absent where it omits them. */
export interface PostgresUrl {
  /** At least one. */
  readonly addresses: ReadonlyArray<Address>
  readonly username: string | undefined
  readonly password: string | undefined
  readonly database: string | undefined
  readonly applicationName: string | undefined
  /** Command-line options of the server, sent when a session starts. */
  readonly options: string | undefined
  /** In seconds; infinite for 0, as in libpq. */
  readonly connectTimeout: number | undefined
  readonly ssl: SslMode | undefined
  readonly target: Target | undefined
  /** `pgbouncer=true`: a pooler without prepared statements. */
  readonly pooled: boolean
}

const defaultPort = 5432

class Refusal extends Error {}

const refuse = (reason: string): never => {
  throw new Refusal(reason)
}

const unescape = (text: string, part: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return refuse(`the ${part} contains an invalid % escape: write %25 for %`)
  }
}

/** Like a web query, except that `+` is literal. */
const parametersOf = (query: string): ReadonlyMap<string, string> =>
  new Map(
    query
      .split("&")
      .filter((pair) => pair !== "")
      .map((pair) => {
        const at = pair.indexOf("=")
        if (at < 0) return refuse("a parameter has no value")
        return [unescape(pair.slice(0, at), "query"), unescape(pair.slice(at + 1), "query")]
      })
  )

const portOf = (text: string): number => {
  if (text === "") return defaultPort
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0
  return port >= 1 && port <= 65_535 ? port : refuse("a port must be a number from 1 to 65535")
}

export const addressOf = (host: string, port: number): Address => ({
  host,
  port,
  path: host.startsWith("/") ? `${host}/.s.PGSQL.${port}` : undefined
})

const hostOf = (text: string): string => {
  const host = unescape(text, "host")
  if (host.startsWith("/")) return host
  return /^[^\s/?#@<>^|\\[\]]*$/.test(host)
    ? host || "localhost"
    : refuse("the host must be a name, an address or a folder")
}

/** A host and its optional port; an IPv6 address is in brackets. */
const splitHost = (element: string): readonly [string, string] => {
  const bracketed = /^\[([0-9a-f:.]+(?:%[0-9a-z%]+)?)\](?::(.*))?$/i.exec(element)
  if (bracketed !== null) return [bracketed[1]!, bracketed[2] ?? ""]
  const at = element.indexOf(":")
  return at < 0 ? [element, ""] : [element.slice(0, at), element.slice(at + 1)]
}

/** One port per host, or one for all. */
const pairUp = (hosts: ReadonlyArray<string>, ports: ReadonlyArray<string>): ReadonlyArray<Address> => {
  if (ports.length !== 1 && ports.length !== hosts.length)
    return refuse("the number of ports must be 1 or that of the hosts")
  return hosts.map((host, index) => addressOf(hostOf(host), portOf(ports[ports.length === 1 ? 0 : index]!)))
}

/** Parameters override the authority. */
const addressesOf = (authority: string, parameters: ReadonlyMap<string, string>): ReadonlyArray<Address> => {
  const parts = authority.split(",").map(splitHost)
  // It is decoded already, and a folder's name may contain a percent sign.
  const named = (parameters.get("host") || parameters.get("hostaddr") || undefined)?.split(",").map(encodeURIComponent)
  const hosts = named ?? parts.map(([host]) => host)
  const ownPorts = parts.map(([, port]) => port)
  const ports = parameters.get("port")?.split(",") ?? (hosts.length < ownPorts.length ? [""] : ownPorts)
  return pairUp(hosts, ports)
}

const sslModes: Readonly<Record<string, SslMode>> = {
  disable: "disable",
  allow: "prefer",
  prefer: "prefer",
  require: "require",
  "verify-ca": "require",
  "verify-full": "require",
  "no-verify": "noVerify"
}

const sslOf = (parameters: ReadonlyMap<string, string>): SslMode | undefined => {
  const mode = parameters.get("sslmode")
  if (mode === undefined) return parameters.get("ssl") === "true" ? "require" : undefined
  if (Object.hasOwn(sslModes, mode)) return sslModes[mode]
  return refuse(`sslmode must be one of ${Object.keys(sslModes).join(", ")}`)
}

const targets: Readonly<Record<string, Target>> = {
  any: "any",
  primary: "primary",
  "read-write": "primary",
  standby: "standby",
  "read-only": "standby",
  "prefer-standby": "preferStandby"
}

const targetOf = (parameters: ReadonlyMap<string, string>): Target | undefined => {
  const target = parameters.get("target_session_attrs")
  if (target === undefined) return undefined
  if (Object.hasOwn(targets, target)) return targets[target]
  return refuse(`target_session_attrs must be one of ${Object.keys(targets).join(", ")}`)
}

const connectTimeoutOf = (parameters: ReadonlyMap<string, string>): number | undefined => {
  const text = parameters.get("connect_timeout")
  if (text === undefined) return undefined
  if (!/^\d{1,9}$/.test(text)) return refuse("connect_timeout must be a whole number of seconds")
  return Number(text) || Infinity
}

/** The user and the password; special characters are percent-encoded, so the only `@` ends them. */
const loginOf = (login: string | undefined): readonly [string | undefined, string | undefined] => {
  if (login === undefined) return [undefined, undefined]
  const at = login.indexOf(":")
  const user = unescape(at < 0 ? login : login.slice(0, at), "user") || undefined
  return [user, at < 0 ? undefined : unescape(login.slice(at + 1), "password") || undefined]
}

/** An unescaped `/`, `@`, `?` or `#` in a password does not match. */
const shape = /^postgres(?:ql)?(?:\+[a-z0-9_]+)?:\/\/(?:([^@/?#]*)@)?([^@/?#]*)(?:\/([^@/?#]*))?(?:\?([^#]*))?$/i

const read = (given: string): PostgresUrl => {
  const text = given.trim()
  if (!/^postgres(?:ql)?(?:\+[a-z0-9_]+)?:\/\//i.test(text)) return refuse("it must begin with postgres://")
  const found = shape.exec(text)
  if (found === null)
    return refuse("special characters in the user and the password must be percent-encoded, such as / as %2F")
  const [, login, authority = "", path = "", query = ""] = found
  const parameters = parametersOf(query)
  if (parameters.has("service")) return refuse("service files are not supported")
  const [username, password] = loginOf(login)
  return {
    addresses: addressesOf(authority, parameters),
    username: parameters.get("user") ?? username,
    password: parameters.get("password") ?? password,
    database: (parameters.get("dbname") ?? unescape(path, "database")) || undefined,
    applicationName: parameters.get("application_name") ?? parameters.get("fallback_application_name"),
    options: parameters.get("options"),
    connectTimeout: connectTimeoutOf(parameters),
    ssl: sslOf(parameters),
    target: targetOf(parameters),
    pooled: parameters.get("pgbouncer") === "true"
  }
}

/** Parses a URL; fails with the reason. */
export const parse = (text: string): Result.Result<PostgresUrl, string> =>
  Result.try({
    try: () => read(text),
    catch: (error) => {
      if (error instanceof Refusal) return error.message
      throw error
    }
  })
