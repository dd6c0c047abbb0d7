/**
 * Reads a connection URI as libpq does: several hosts, Unix sockets, everything of the authority in the query too.
 *
 * `URL` of the platform refuses a user before an empty host and several hosts, and it rewrites what is not escaped, so the
 * text is read here. A reason for a refusal never repeats a part of the text: any of them may be a password.
 */
import * as Result from "effect/Result"
import type { Address } from "./internal/pgSession.ts"
import type { Target } from "./internal/poolOptions.ts"

/** How a session is encrypted: `prefer` falls back where the server has no TLS, `noVerify` accepts any certificate. */
export type SslMode = "disable" | "prefer" | "require" | "noVerify"

/** What a URL says; absent where it says nothing. */
export interface PostgresUrl {
  /** At least one. */
  readonly addresses: ReadonlyArray<Address>
  readonly username: string | undefined
  readonly password: string | undefined
  readonly database: string | undefined
  readonly applicationName: string | undefined
  /** Options of the server's command line, sent when a session starts. */
  readonly options: string | undefined
  /** In seconds; infinite for 0, as in libpq. */
  readonly connectTimeout: number | undefined
  readonly ssl: SslMode | undefined
  readonly target: Target | undefined
  /** It names a pooler that does not keep prepared statements. */
  readonly pooled: boolean
}

const defaultPort = 5432

/** Why a text is no URL of a database. */
class Refusal extends Error {}

const refuse = (reason: string): never => {
  throw new Refusal(reason)
}

const unescape = (text: string, part: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return refuse(`the ${part} has a % that escapes nothing: write %25`)
  }
}

/** As in a query of the web, but a plus stays a plus. */
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
  return port >= 1 && port <= 65_535 ? port : refuse("a port is no number from 1 to 65535")
}

export const addressOf = (host: string, port: number): Address => ({
  host,
  port,
  path: host.startsWith("/") ? `${host}/.s.PGSQL.${port}` : undefined
})

const hostOf = (text: string): string => {
  const host = unescape(text, "host")
  if (host.startsWith("/")) return host
  return /^[^\s/?#@<>^|\\[\]]*$/.test(host) ? host || "localhost" : refuse("the host is no name, address or folder")
}

/** A host and its port where it has one; an IPv6 address stands in brackets. */
const splitHost = (element: string): readonly [string, string] => {
  const bracketed = /^\[([0-9a-f:.]+(?:%[0-9a-z%]+)?)\](?::(.*))?$/i.exec(element)
  if (bracketed !== null) return [bracketed[1]!, bracketed[2] ?? ""]
  const at = element.indexOf(":")
  return at < 0 ? [element, ""] : [element.slice(0, at), element.slice(at + 1)]
}

/** One port for each host, or one for all of them. */
const pairUp = (hosts: ReadonlyArray<string>, ports: ReadonlyArray<string>): ReadonlyArray<Address> => {
  if (ports.length !== 1 && ports.length !== hosts.length) return refuse("there are not as many ports as hosts")
  return hosts.map((host, index) => addressOf(hostOf(host), portOf(ports[ports.length === 1 ? 0 : index]!)))
}

/** What the query says of the servers goes before what the authority says. */
const addressesOf = (authority: string, parameters: ReadonlyMap<string, string>): ReadonlyArray<Address> => {
  const parts = authority.split(",").map(splitHost)
  // It is decoded already, and a folder may have a percent sign in its name.
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

/** The user and the password: up to the only `@` of the authority, for what is special in them is escaped. */
const loginOf = (login: string | undefined): readonly [string | undefined, string | undefined] => {
  if (login === undefined) return [undefined, undefined]
  const at = login.indexOf(":")
  const user = unescape(at < 0 ? login : login.slice(0, at), "user") || undefined
  return [user, at < 0 ? undefined : unescape(login.slice(at + 1), "password") || undefined]
}

/** A `/`, `@`, `?` or `#` in a password that is not escaped ends up behind the authority. */
const shape = /^postgres(?:ql)?(?:\+[a-z0-9_]+)?:\/\/(?:([^@/?#]*)@)?([^@/?#]*)(?:\/([^@/?#]*))?(?:\?([^#]*))?$/i

const read = (given: string): PostgresUrl => {
  const text = given.trim()
  if (!/^postgres(?:ql)?(?:\+[a-z0-9_]+)?:\/\//i.test(text)) return refuse("it does not begin with postgres://")
  const found = shape.exec(text)
  if (found === null) return refuse("a special character in the user or the password is not escaped, such as / by %2F")
  const [, login, authority = "", path = "", query = ""] = found
  const parameters = parametersOf(query)
  if (parameters.has("service")) return refuse("it names a service, and service files are not read")
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

/** Reads a URL, or says why it is none. */
export const parse = (text: string): Result.Result<PostgresUrl, string> =>
  Result.try({
    try: () => read(text),
    catch: (error) => {
      if (error instanceof Refusal) return error.message
      throw error
    }
  })
