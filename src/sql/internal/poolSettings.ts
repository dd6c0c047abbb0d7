/**
 * The pool's options with their defaults, floors and cross-checks, turned into plain numbers once.
 */
import type * as PgClient from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import type { ConnectionPoolOptions } from "../ConnectionPool.ts"
import type { Target } from "./connector.ts"
import type { Address } from "./pgSession.ts"

/**
 * Connections kept open when nothing runs: 1.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaultMinConnections = 1

/**
 * Connections open at the same time: 3.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaultMaxConnections = 3

/**
 * How long a caller waits for a connection: 5 seconds.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaultAcquireTimeout: Duration.Duration = Duration.seconds(5)

/**
 * How many callers may wait for a connection: 1,000.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaultMaxWaiters = 1_000

/**
 * How long a connection beyond the minimum may lie idle: 5 minutes.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaultIdleTimeout: Duration.Duration = Duration.minutes(5)

/**
 * How old a connection may get: 30 minutes.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaultMaxLifetime: Duration.Duration = Duration.minutes(30)

/**
 * By what share at most a connection's lifetime is shortened at random: 0.1.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaultLifetimeJitter = 0.1

/**
 * How long after its last answer a connection is handed out without a ping: 500 milliseconds.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaultValidationWindow: Duration.Duration = Duration.millis(500)

/**
 * How long a ping, or putting a session back in order, may take before the connection counts as broken: 1 second.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaultValidationTimeout: Duration.Duration = Duration.seconds(1)

/**
 * How often an idle connection is pinged: every 2 minutes.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaultKeepaliveInterval: Duration.Duration = Duration.minutes(2)

/**
 * How long opening a connection may take: 5 seconds.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaultConnectTimeout: Duration.Duration = Duration.seconds(5)

/**
 * How often a failed connect is tried again: 2 times.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaultConnectRetries = 2

/**
 * The pause before the first connect retry, which doubles and is jittered: 100 milliseconds.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaultConnectBackoff: Duration.Duration = Duration.millis(100)

/**
 * Failed connects in a row after which the pool stops trying for a while: 5.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaultBreakerFailures = 5

/**
 * How long the pool stops trying to connect after the breaker opened: 1 second.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaultBreakerPause: Duration.Duration = Duration.seconds(1)

/**
 * How long a connection may be held before it is reported: 30 seconds.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaultLongHold: Duration.Duration = Duration.seconds(30)

/**
 * How long a caller may wait for a connection before a warning: 1 second.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaultSlowAcquire: Duration.Duration = Duration.seconds(1)

/**
 * How long shutdown waits for connections in use: 5 seconds.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaultDrainTimeout: Duration.Duration = Duration.seconds(5)

/**
 * How many statements share a connection when `multiplex` is on: 32.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaultMultiplexConcurrency = 32

/**
 * Idle time of a TCP connection before the operating system probes it: 30 seconds.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaultTcpKeepAlive: Duration.Duration = Duration.seconds(30)

/** The options as the pool uses them, in milliseconds where they are times. */
export interface Settings {
  readonly name: string
  readonly database: string
  readonly min: number
  readonly max: number
  readonly concurrency: number
  readonly acquireTimeoutMs: number
  readonly maxWaiters: number
  readonly idleTimeoutMs: number
  readonly maxLifetimeMs: number
  readonly lifetimeJitter: number
  readonly validationWindowMs: number
  readonly validationTimeoutMs: number
  readonly keepaliveMs: number
  readonly connectTimeoutMs: number
  readonly connectRetries: number
  readonly connectBackoffMs: number
  readonly breakerFailures: number
  readonly breakerPauseMs: number
  readonly longHoldMs: number
  readonly slowAcquireMs: number
  readonly drainMs: number
  readonly deadlineMs: number | undefined
  readonly rotatesPassword: boolean
  readonly tcpKeepAliveMs: number
  readonly target: Target
  readonly addresses: ReadonlyArray<Address>
}

class Invalid extends RangeError {}

const count = (name: string, value: number, floor: number, ceiling: number): number => {
  if (Number.isInteger(value) && value >= floor && value <= ceiling) return value
  throw new Invalid(`${name} must be a whole number from ${floor} to ${ceiling}, got ${value}`)
}

const targets: ReadonlyArray<Target> = ["any", "primary", "standby", "preferPrimary", "preferStandby"]

const targetOf = ({ target = "any" }: ConnectionPoolOptions): Target => {
  if (targets.includes(target)) return target
  throw new Invalid(`target must be one of ${targets.join(", ")}, got ${String(target)}`)
}

/** Bounds of what is the driver's, which takes any number. */
const checkDriverOptions = ({ maxMessageSize, preparedStatementCacheSize }: ConnectionPoolOptions): void => {
  if (maxMessageSize !== undefined) count("maxMessageSize", maxMessageSize, 1, 2 ** 31 - 1)
  if (preparedStatementCacheSize !== undefined) {
    count("preparedStatementCacheSize", preparedStatementCacheSize, 0, 1_000_000)
  }
}

const concurrencyOf = ({ multiplex, multiplexConcurrency }: ConnectionPoolOptions): number => {
  const given = count("multiplexConcurrency", multiplexConcurrency ?? defaultMultiplexConcurrency, 1, 1_000)
  return multiplex === true ? given : 1
}

const share = (name: string, value: number): number => {
  if (value >= 0 && value <= 1) return value
  throw new Invalid(`${name} must be from 0 to 1, got ${value}`)
}

/** A time from `floor` up; `infinite` where never is a sensible answer. */
const time = (
  name: string,
  value: Duration.Input,
  floor: Duration.Duration,
  infinite: "infinite" | "finite"
): number => {
  const duration = Duration.fromInput(value)
  if (duration._tag === "None") throw new Invalid(`${name} is not a duration`)
  const ms = Duration.toMillis(duration.value)
  if (ms < Duration.toMillis(floor))
    throw new Invalid(`${name} must be at least ${Duration.format(floor)}, got ${ms} ms`)
  if (ms === Infinity && infinite === "finite") throw new Invalid(`${name} must be finite`)
  if (ms > maxTimeMs && ms !== Infinity) throw new Invalid(`${name} must be at most 24 days, got ${ms} ms`)
  return ms
}

/** The longest time a timer can be set to. */
const maxTimeMs = 24 * 24 * 60 * 60 * 1_000

const address = (name: string, host: string, port: number): Address => ({
  host,
  port: count(name, port, 1, 65_535),
  path: host.startsWith("/") ? `${host}/.s.PGSQL.${port}` : undefined
})

const urlOf = (options: ConnectionPoolOptions): URL | undefined => {
  if (options.url === undefined) return undefined
  const text = Redacted.value(options.url)
  const url = /^postgres(?:ql)?:\/\//.test(text) ? URL.parse(text) : null
  if (url === null || !namesOneDatabase(url)) throw new Invalid(invalidUrl)
  return url
}

/** The value may carry a password, so the message does not repeat it. */
const invalidUrl = "url is not a postgres:// URL"

/** A password whose special characters are not escaped ends up in the path, and from there would be in names. */
const namesOneDatabase = (url: URL): boolean => /^\/?[^/@]*$/.test(url.pathname) && url.hash === ""

/** Reads where the server is; who logs in and how is left to the driver, which reads the same URL. */
const addressesOf = (options: ConnectionPoolOptions, url: URL | undefined): ReadonlyArray<Address> => {
  const hosts = options.hosts
  if (hosts !== undefined) {
    if (hosts.length === 0) throw new Invalid("hosts must not be empty")
    if (options.host !== undefined || options.path !== undefined) {
      throw new Invalid("hosts can't be combined with host or path")
    }
    return hosts.map(({ host, port }, index) => {
      if (typeof host !== "string" || host === "")
        throw new Invalid(`hosts[${index}].host must be a name or an address`)
      return address(`hosts[${index}].port`, host, port ?? options.port ?? 5432)
    })
  }
  const urlHost = url?.searchParams.get("host") ?? url?.hostname.replace(/^\[|\]$/g, "")
  const urlPort = url?.searchParams.get("port") ?? url?.port
  const host = options.host ?? (urlHost ? decodeURIComponent(urlHost) : "localhost")
  const found = address("port", host, options.port ?? (urlPort ? Number(urlPort) : 5432))
  return [options.path === undefined ? found : { ...found, path: options.path }]
}

/** The database of the sessions: the one that is named, or else the one that is named as the user. */
const databaseOf = (options: ConnectionPoolOptions, url: URL | undefined): string => {
  const named = url?.searchParams.get("dbname") ?? url?.pathname.slice(1)
  const user = url?.searchParams.get("user") ?? url?.username
  return (
    options.database ??
    (decodeURIComponent(named || "") || options.username || decodeURIComponent(user || "") || "postgres")
  )
}

/** The URL of libpq can say it too, in seconds; there 0 means to wait for ever. */
const connectTimeoutOf = (options: ConnectionPoolOptions, url: URL | undefined): number => {
  const given = url?.searchParams.get("connect_timeout")
  if (options.connectTimeout !== undefined || given === null || given === undefined) {
    return time("connectTimeout", options.connectTimeout ?? defaultConnectTimeout, millis(50), "finite")
  }
  const inSeconds = count("connect_timeout of url, or connectTimeout instead of it,", Number(given), 1, 86_400)
  return Duration.toMillis(seconds(inSeconds))
}

/** The driver's own pool calls it `connectionTTL`. */
const maxLifetimeOf = ({ connectionTTL, maxLifetime }: ConnectionPoolOptions): Duration.Input => {
  if (maxLifetime === undefined) return connectionTTL ?? defaultMaxLifetime
  if (connectionTTL !== undefined) throw new Invalid("connectionTTL means the same as maxLifetime: give only one")
  return maxLifetime
}

const seconds = Duration.seconds
const millis = Duration.millis

/** A default that gives way where a bound that the user chose is below it. */
const within = (value: Duration.Duration, bound: Duration.Input | undefined, part = 1): Duration.Duration =>
  bound === undefined ? value : Duration.min(value, Duration.times(Duration.fromInputUnsafe(bound), part))

const read = (options: ConnectionPoolOptions): Settings => {
  checkDriverOptions(options)
  const url = urlOf(options)
  const addresses = addressesOf(options, url)
  const database = databaseOf(options, url)
  const maxLifetime = maxLifetimeOf(options)
  return {
    name: options.name ?? `${addresses[0]!.host}:${addresses[0]!.port}/${database}`,
    database,
    min: count("minConnections", options.minConnections ?? defaultMinConnections, 0, 1_000),
    max: count("maxConnections", options.maxConnections ?? defaultMaxConnections, 1, 1_000),
    concurrency: concurrencyOf(options),
    acquireTimeoutMs: time("acquireTimeout", options.acquireTimeout ?? defaultAcquireTimeout, millis(10), "finite"),
    maxWaiters: count("maxWaiters", options.maxWaiters ?? defaultMaxWaiters, 0, 1_000_000),
    idleTimeoutMs: time("idleTimeout", options.idleTimeout ?? defaultIdleTimeout, millis(100), "infinite"),
    maxLifetimeMs: time(
      options.connectionTTL === undefined ? "maxLifetime" : "connectionTTL",
      maxLifetime,
      millis(100),
      "infinite"
    ),
    lifetimeJitter: share("lifetimeJitter", options.lifetimeJitter ?? defaultLifetimeJitter),
    validationWindowMs: time(
      "validationWindow",
      options.validationWindow ?? defaultValidationWindow,
      millis(0),
      "infinite"
    ),
    validationTimeoutMs: time(
      "validationTimeout",
      options.validationTimeout ?? within(defaultValidationTimeout, options.acquireTimeout),
      millis(10),
      "finite"
    ),
    keepaliveMs: time(
      "keepaliveInterval",
      options.keepaliveInterval ?? within(defaultKeepaliveInterval, maxLifetime, 0.5),
      millis(50),
      "infinite"
    ),
    connectTimeoutMs: connectTimeoutOf(options, url),
    connectRetries: count("connectRetries", options.connectRetries ?? defaultConnectRetries, 0, 100),
    connectBackoffMs: time("connectBackoff", options.connectBackoff ?? defaultConnectBackoff, millis(1), "finite"),
    breakerFailures: count("breakerFailures", options.breakerFailures ?? defaultBreakerFailures, 1, 1_000),
    breakerPauseMs: time("breakerPause", options.breakerPause ?? defaultBreakerPause, millis(10), "finite"),
    longHoldMs: time("longHold", options.longHold ?? defaultLongHold, millis(100), "infinite"),
    slowAcquireMs: time(
      "slowAcquire",
      options.slowAcquire ?? within(defaultSlowAcquire, options.acquireTimeout),
      millis(1),
      "infinite"
    ),
    drainMs: time("drainTimeout", options.drainTimeout ?? defaultDrainTimeout, millis(0), "finite"),
    deadlineMs: options.deadline === undefined ? undefined : time("deadline", options.deadline, millis(1), "finite"),
    rotatesPassword: Effect.isEffect(options.password),
    tcpKeepAliveMs: time("keepAlive", options.keepAlive ?? defaultTcpKeepAlive, seconds(1), "finite"),
    target: targetOf(options),
    addresses
  }
}

const crossCheck = (settings: Settings): void => {
  if (settings.min > settings.max) {
    throw new Invalid(`minConnections (${settings.min}) must not be above maxConnections (${settings.max})`)
  }
  if (settings.validationTimeoutMs > settings.acquireTimeoutMs) {
    throw new Invalid("validationTimeout must not be above acquireTimeout")
  }
  if (settings.keepaliveMs >= settings.maxLifetimeMs && settings.keepaliveMs !== Infinity) {
    throw new Invalid("keepaliveInterval must be below maxLifetime")
  }
  if (settings.slowAcquireMs > settings.acquireTimeoutMs && settings.slowAcquireMs !== Infinity) {
    throw new Invalid("slowAcquire must not be above acquireTimeout")
  }
}

/** Checks the options. The error's message names the option that is wrong. */
export const resolve = (options: ConnectionPoolOptions): Effect.Effect<Settings, SqlError> =>
  Effect.try({
    try: () => {
      const settings = read(options)
      crossCheck(settings)
      return settings
    },
    catch: (cause) =>
      new SqlError({
        reason: new UnknownError({
          cause,
          message: `ConnectionPool: ${cause instanceof Invalid ? cause.message : invalidUrl}`,
          operation: "configure"
        })
      })
  })

/** What the driver gets: the options it knows, without those the pool handles itself. */
export const clientConfig = (options: ConnectionPoolOptions): PgClient.PgClientConfig => ({
  url: options.url,
  host: options.host ?? options.hosts?.[0]?.host,
  port: options.port ?? options.hosts?.[0]?.port,
  path: options.path,
  ssl: options.ssl,
  database: options.database,
  username: options.username,
  password: options.password,
  stream: options.stream,
  applicationName: options.applicationName,
  startupParameters: options.startupParameters,
  startupOptions: options.startupOptions,
  spanAttributes: options.spanAttributes,
  transformResultNames: options.transformResultNames,
  transformQueryNames: options.transformQueryNames,
  transformJson: options.transformJson,
  types: options.types,
  multiplex: options.multiplex,
  multiplexConcurrency: options.multiplexConcurrency,
  prepare: options.prepare,
  preparedStatementCacheSize: options.preparedStatementCacheSize,
  maxMessageSize: options.maxMessageSize
})
