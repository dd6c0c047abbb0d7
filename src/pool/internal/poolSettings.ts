/** Validates the options of a pool against one table of defaults and bounds, and resolves them to plain numbers. */
import type * as PgClient from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Options from "../../internal/options.ts"
import type { Address } from "./pgSession.ts"
import * as PostgresUrl from "../PostgresUrl.ts"
import type { ConnectionPoolOptions, Target } from "./poolOptions.ts"

interface CountOption {
  readonly default: number
  readonly min: number
  readonly max: number
}

/** A duration from `min`; an infinite one disables its feature, unless it must be `finite`. */
interface TimeOption {
  readonly default: Duration.Duration
  readonly min: Duration.Duration
  readonly finite?: true
}

const { infinity, millis, minutes, seconds, zero } = Duration

const counts = {
  minConnections: { default: 1, min: 0, max: 10_000 },
  maxConnections: { default: 3, min: 1, max: 10_000 },
  maxWaiters: { default: 1_000, min: 0, max: 1_000_000 },
  connectRetries: { default: 2, min: 0, max: 100 },
  breakerFailures: { default: 5, min: 1, max: 1_000 },
  multiplexConcurrency: { default: 32, min: 1, max: 1_000_000 }
} as const satisfies Record<string, CountOption>

const times = {
  acquireTimeout: { default: seconds(5), min: millis(10) },
  idleTimeout: { default: minutes(5), min: zero },
  maxLifetime: { default: minutes(30), min: zero },
  validationWindow: { default: millis(500), min: zero },
  validationTimeout: { default: seconds(1), min: millis(10) },
  keepaliveInterval: { default: minutes(2), min: millis(50) },
  keepAlive: { default: seconds(30), min: seconds(1), finite: true },
  connectTimeout: { default: seconds(5), min: millis(50) },
  connectBackoff: { default: millis(100), min: millis(1), finite: true },
  breakerResetTimeout: { default: seconds(1), min: millis(10), finite: true },
  deadline: { default: infinity, min: millis(1) },
  leakDetectionThreshold: { default: seconds(30), min: millis(100) },
  slowAcquire: { default: seconds(1), min: millis(1) },
  drainTimeout: { default: seconds(5), min: zero }
} as const satisfies Record<string, TimeOption>

/** A server that bypasses the pooler. */
export interface Direct {
  readonly client: PgClient.PgClientConfig
  readonly address: Address
}

const { duration: durationFrom, oneOf, refuse, number, whole } = Options.reader("ConnectionPool")

const duration = (name: string, value: Duration.Input, { finite, min }: Omit<TimeOption, "default">): number => {
  const ms = durationFrom(name, value, Duration.toMillis(min), Infinity)
  return finite === true && ms === Infinity ? refuse(`${name} must be finite`) : ms
}

const count = (options: ConnectionPoolOptions, name: keyof typeof counts): number =>
  whole(name, options[name] ?? counts[name].default, counts[name].min, counts[name].max)

const time = (
  options: ConnectionPoolOptions,
  name: keyof typeof times,
  absent: Duration.Input = times[name].default
): number => duration(name, options[name] ?? absent, times[name])

/** Lowers a default to a bound that the user set. */
const defaultWithin = (value: Duration.Duration, bound: Duration.Input | undefined): Duration.Duration =>
  bound === undefined ? value : Duration.min(value, Duration.fromInputUnsafe(bound))

const targets: ReadonlyArray<Target> = ["any", "primary", "standby", "preferPrimary", "preferStandby"]

/** Bounds of the driver's options, which the driver does not validate. */
const checkDriverOptions = ({ maxMessageSize, preparedStatementCacheSize }: ConnectionPoolOptions): void => {
  if (maxMessageSize !== undefined) whole("maxMessageSize", maxMessageSize, 1, 2 ** 31 - 1)
  if (preparedStatementCacheSize !== undefined) {
    whole("preparedStatementCacheSize", preparedStatementCacheSize, 0, 1_000_000)
  }
}

const urlOf = (name: "url" | "directUrl", url: Redacted.Redacted | undefined): PostgresUrl.PostgresUrl | undefined => {
  if (url === undefined) return undefined
  const parsed = PostgresUrl.parse(Redacted.value(url))
  return Result.isSuccess(parsed) ? parsed.success : refuse(`${name} is not a postgres:// URL: ${parsed.failure}`)
}

const port = (name: string, value: number): number => whole(name, value, 1, 65_535)

const addressesOf = (
  options: ConnectionPoolOptions,
  url: PostgresUrl.PostgresUrl | undefined
): ReadonlyArray<Address> => {
  const { host, hosts, path } = options
  if (hosts === undefined) {
    const found = url?.addresses ?? [PostgresUrl.addressOf("localhost", 5432)]
    const named = host === undefined ? found : [{ host, port: found[0]!.port }]
    return named.map(({ host, port: own }) => {
      const address = PostgresUrl.addressOf(host, port("port", options.port ?? own))
      return path === undefined ? address : { ...address, path }
    })
  }
  if (hosts.length === 0) return refuse("hosts must not be empty")
  if (host !== undefined || path !== undefined) return refuse("hosts can't be combined with host or path")
  return hosts.map((server, index) => {
    if (typeof server.host !== "string" || server.host === "")
      return refuse(`hosts[${index}].host must be a name or an address`)
    return PostgresUrl.addressOf(server.host, port(`hosts[${index}].port`, server.port ?? options.port ?? 5432))
  })
}

const connectTimeoutOf = (options: ConnectionPoolOptions, url: PostgresUrl.PostgresUrl | undefined): number => {
  const inUrl = url?.connectTimeout
  return time(options, "connectTimeout", inUrl === undefined ? times.connectTimeout.default : inUrl * 1_000)
}

const lifetimeOf = ({ connectionTTL, maxLifetime }: ConnectionPoolOptions): number => {
  if (maxLifetime !== undefined && connectionTTL !== undefined)
    return refuse("connectionTTL means the same as maxLifetime: give only one")
  return connectionTTL === undefined
    ? time({ maxLifetime }, "maxLifetime")
    : duration("connectionTTL", connectionTTL, times.maxLifetime)
}

/** Defaults to half of a short lifetime; a lifetime too short for that needs no keepalive. */
const keepaliveOf = (options: ConnectionPoolOptions, maxLifetimeMs: number): number => {
  const { default: usual, min } = times.keepaliveInterval
  const half = Duration.min(usual, millis(maxLifetimeMs / 2))
  const ms = time(options, "keepaliveInterval", Duration.isLessThan(half, min) ? infinity : half)
  return ms >= maxLifetimeMs && ms !== Infinity ? refuse("keepaliveInterval must be below maxLifetime") : ms
}

/** The default maximum rises to the minimum that the user set. */
const sizeOf = (options: ConnectionPoolOptions): { readonly min: number; readonly max: number } => {
  const min = count(options, "minConnections")
  if (options.maxConnections === undefined) {
    return { min, max: Math.max(min, counts.maxConnections.default) }
  }
  const max = count(options, "maxConnections")
  return min > max ? refuse(`minConnections (${min}) must not be above maxConnections (${max})`) : { min, max }
}

const sslOf = (options: ConnectionPoolOptions, mode: PostgresUrl.SslMode | undefined): PgClient.PgClientConfig => {
  if (options.ssl !== undefined || mode === undefined) return { ssl: options.ssl }
  switch (mode) {
    case "disable":
      return { ssl: false }
    case "require":
      return { ssl: true }
    case "noVerify":
      return { ssl: { rejectUnauthorized: false } }
    case "prefer":
      // The driver supports optional TLS in its URL only.
      return { url: Redacted.make("postgres://localhost/?sslmode=prefer") }
  }
}

/** The driver's options, with the parts of the parsed URL and without the pool's own. */
const clientOf = (
  options: ConnectionPoolOptions,
  url: PostgresUrl.PostgresUrl | undefined
): PgClient.PgClientConfig => ({
  ...sslOf(options, url?.ssl),
  database: options.database ?? url?.database,
  username: options.username ?? url?.username,
  password: options.password ?? (url?.password === undefined ? undefined : Redacted.make(url.password)),
  stream: options.stream,
  applicationName: options.applicationName ?? url?.applicationName,
  startupParameters: options.startupParameters,
  startupOptions: options.startupOptions ?? url?.options,
  spanAttributes: options.spanAttributes,
  transformResultNames: options.transformResultNames,
  transformQueryNames: options.transformQueryNames,
  transformJson: options.transformJson,
  types: options.types,
  multiplex: options.multiplex,
  multiplexConcurrency: options.multiplexConcurrency,
  prepare: options.prepare ?? (url?.pooled === true ? false : undefined),
  preparedStatementCacheSize: options.preparedStatementCacheSize,
  maxMessageSize: options.maxMessageSize
})

/** Parts that the direct URL omits are those of the pool. */
const directOf = (options: ConnectionPoolOptions, client: PgClient.PgClientConfig): Direct | undefined => {
  const url = urlOf("directUrl", options.directUrl)
  if (url === undefined) return undefined
  const { database, password, username } = clientOf({}, url)
  const ssl = url.ssl === undefined ? {} : { ssl: undefined, url: undefined, ...sslOf(options, url.ssl) }
  return {
    address: url.addresses[0]!,
    client: {
      ...client,
      ...ssl,
      database: database ?? client.database,
      username: username ?? client.username,
      password: password ?? client.password,
      multiplex: false
    }
  }
}

const initSqlOf = ({ connectionInitSql }: ConnectionPoolOptions): ReadonlyArray<string> => {
  const statements = typeof connectionInitSql === "string" ? [connectionInitSql] : (connectionInitSql ?? [])
  return statements.every((sql) => typeof sql === "string" && sql.trim() !== "")
    ? statements
    : refuse("connectionInitSql must be statements that are not empty")
}

const read = (options: ConnectionPoolOptions) => {
  checkDriverOptions(options)
  const url = urlOf("url", options.url)
  const addresses = addressesOf(options, url)
  const client = clientOf(options, url)
  const database = client.database ?? client.username ?? "postgres"
  const acquireTimeoutMs = time(options, "acquireTimeout")
  const maxLifetimeMs = lifetimeOf(options)
  const deadlineMs = time(options, "deadline")
  return {
    ...sizeOf(options),
    name: options.name ?? `${addresses[0]!.host}:${addresses[0]!.port}/${database}`,
    database,
    concurrency: options.multiplex === true ? count(options, "multiplexConcurrency") : 1,
    acquireTimeoutMs,
    maxWaiters: count(options, "maxWaiters"),
    idleTimeoutMs: time(options, "idleTimeout"),
    maxLifetimeMs,
    lifetimeJitter: number("lifetimeJitter", options.lifetimeJitter ?? 0.1, 0, 1),
    validationWindowMs: time(options, "validationWindow"),
    validationTimeoutMs: time(
      options,
      "validationTimeout",
      defaultWithin(times.validationTimeout.default, options.acquireTimeout)
    ),
    keepaliveMs: keepaliveOf(options, maxLifetimeMs),
    connectTimeoutMs: connectTimeoutOf(options, url),
    connectRetries: count(options, "connectRetries"),
    connectBackoffMs: time(options, "connectBackoff"),
    breakerFailures: count(options, "breakerFailures"),
    breakerResetTimeoutMs: time(options, "breakerResetTimeout"),
    leakDetectionThresholdMs: time(options, "leakDetectionThreshold"),
    slowAcquireMs: time(options, "slowAcquire", defaultWithin(times.slowAcquire.default, options.acquireTimeout)),
    drainMs: time(options, "drainTimeout"),
    deadlineMs: deadlineMs === Infinity ? undefined : deadlineMs,
    rotatesPassword: Effect.isEffect(options.password),
    tcpKeepAliveMs: time(options, "keepAlive"),
    target: oneOf("target", options.target ?? url?.target ?? "any", targets),
    addresses,
    /** Statements that initialize every session, also after a reset. */
    initSql: initSqlOf(options),
    client,
    /** The server of listeners; absent if they use sessions of the pool. */
    direct: directOf(options, client)
  }
}

/** The resolved options, with durations in milliseconds. */
export type Settings = Readonly<ReturnType<typeof read>>

const crossCheck = (settings: Settings): Settings => {
  if (settings.validationTimeoutMs > settings.acquireTimeoutMs)
    return refuse("validationTimeout must not be above acquireTimeout")
  if (settings.slowAcquireMs > settings.acquireTimeoutMs && settings.slowAcquireMs !== Infinity)
    return refuse("slowAcquire must not be above acquireTimeout")
  return settings
}

/** Throws an `InvalidOption`. */
export const resolve = (options: ConnectionPoolOptions): Settings => crossCheck(read(options))
