/**
 * The configured database: the embedded one, or a Postgres server.
 *
 * | variable | meaning | default |
 * |---|---|---|
 * | `ATHENA_HOME` | folder of the embedded database, an absolute path or one that begins with `~/`; created with mode 700, its files with mode 600 | `~/.athena` |
 * | `ATHENA_DATABASE_URL` | `postgres://user:password@host:5432/name` instead of the embedded database, see `ConnectionPoolOptions` for its forms; white space and quotes around it are ignored | - |
 * | `ATHENA_DATABASE_DIRECT_URL` | the server itself, where the URL is that of a pooler | - |
 * | `ATHENA_POSTGRES_HOST`, `_PORT`, `_DB`, `_USER`, `_PASSWORD` | the same in parts; the host, or the folder of its socket, alone is enough | -, 5432, `athena`, `postgres`, `postgres` |
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as SqlClient from "effect/sql/SqlClient"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import * as HomePath from "../internal/homePath.ts"
import { missingSqlPg } from "../internal/missingPeer.ts"
import * as Options from "../internal/options.ts"
import * as PrivateFile from "../internal/privateFile.ts"
import type { ConnectionPoolOptions } from "../pool/ConnectionPool.ts"
import type { PoolStats } from "../pool/PoolError.ts"
import * as PostgresUrl from "../pool/PostgresUrl.ts"
import * as Sqlite from "./Sqlite.ts"

/**
 * The embedded database in a folder.
 *
 * @category models
 * @since 0.1.0
 */
export interface Embedded {
  readonly _tag: "Embedded"
  readonly home: string
}

/**
 * A Postgres server.
 *
 * @category models
 * @since 0.1.0
 */
export interface Postgres {
  readonly _tag: "Postgres"
  readonly url: Redacted.Redacted
  /** The server itself, if `url` is that of a pooler. */
  readonly directUrl?: Redacted.Redacted | undefined
}

/**
 * The database of the memory.
 *
 * @category models
 * @since 0.1.0
 */
export type Settings = Embedded | Postgres

/**
 * The configuration can't be used. The message names the variable and never its value.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidSettings extends Schema.TaggedError<InvalidSettings>("athena-hooks/sql/Database/InvalidSettings")(
  "InvalidSettings",
  { detail: Schema.String }
) {
  override get message(): string {
    return this.detail
  }
}

/**
 * The file name of the embedded database.
 *
 * @category constants
 * @since 0.1.0
 */
export const filename = "athena.db"

/** Removes the white space and quotes that remain where no shell reads a file of variables. */
const bare = (text: string): string => {
  const trimmed = text.trim()
  return /^(["']).*\1$/s.test(trimmed) ? trimmed.slice(1, -1).trim() : trimmed
}

/** Checks a URL of a variable. */
const checkedUrl = (variable: string, url: Redacted.Redacted): Effect.Effect<Redacted.Redacted, InvalidSettings> => {
  const text = bare(Redacted.value(url))
  const parsed = PostgresUrl.parse(text)
  return Result.isSuccess(parsed)
    ? Effect.succeed(Redacted.make(text))
    : Effect.fail(new InvalidSettings({ detail: `${variable} is not a postgres:// URL: ${parsed.failure}` }))
}

const directUrl = Effect.flatMap(Config.option(Config.Redacted("ATHENA_DATABASE_DIRECT_URL")), (url) =>
  Option.isNone(url) || bare(Redacted.value(url.value)) === ""
    ? Effect.undefined
    : checkedUrl("ATHENA_DATABASE_DIRECT_URL", url.value)
)

const postgresSettings = (url: Redacted.Redacted): Effect.Effect<Postgres, InvalidSettings | Config.ConfigError> =>
  Effect.map(directUrl, (directUrl) =>
    directUrl === undefined ? { _tag: "Postgres", url } : { _tag: "Postgres", url, directUrl }
  )

const partsOfUrl = Config.all({
  port: Config.withDefault(Config.Int("ATHENA_POSTGRES_PORT"), 5432),
  database: Config.withDefault(Config.String("ATHENA_POSTGRES_DB"), "athena"),
  username: Config.withDefault(Config.String("ATHENA_POSTGRES_USER"), "postgres"),
  password: Config.withDefault(Config.Redacted("ATHENA_POSTGRES_PASSWORD"), Redacted.make("postgres"))
})

const urlOfHost = (host: string): Effect.Effect<Redacted.Redacted, Config.ConfigError> =>
  Effect.map(partsOfUrl, ({ database, password, port, username }) => {
    const part = encodeURIComponent
    const login = `${part(username)}:${part(Redacted.value(password))}`
    // The folder of a socket belongs in the query, an IPv6 address in brackets.
    if (host.startsWith("/")) {
      return Redacted.make(`postgres://${login}@/${part(database)}?host=${part(host)}&port=${port}`)
    }
    const address = /^[0-9a-f:]*:[0-9a-f:.]*$/i.test(host) ? `[${host}]` : host
    return Redacted.make(`postgres://${login}@${address}:${port}/${part(database)}`)
  })

/**
 * The servers and the database of a URL in a canonical form, and its user. Throws if the URL is invalid; those of
 * `settings` are valid. Several servers have the order of the URL.
 *
 * @category accessors
 * @since 0.1.0
 */
export const identity = ({ url }: Postgres): { readonly server: string; readonly user: string } => {
  const { addresses, database, username } = Result.getOrThrow(PostgresUrl.parse(Redacted.value(url)))
  const servers = addresses.map(({ host, port }) => `${host.includes(":") ? `[${host}]` : host.toLowerCase()}:${port}`)
  const path = database === undefined ? "" : `/${encodeURIComponent(database)}`
  return { server: `${servers.join(",")}${path}`, user: encodeURIComponent(username ?? "") }
}

const optional = (name: string) =>
  Effect.map(Config.option(Config.String(name)), (value) => Option.getOrElse(value, () => ""))

/**
 * The folder of all files on this host, for either database: `ATHENA_HOME`, else `.athena` in the user's home. A leading
 * `~` is the user's home. A relative path is refused, because agents run in different folders. It may not exist yet, see
 * `makeFolder`.
 *
 * @category config
 * @since 0.1.0
 */
export const home: Effect.Effect<string, InvalidSettings | Config.ConfigError, Path.Path> = Effect.gen(function* () {
  const path = yield* Path.Path
  const values = yield* Effect.forEach(HomePath.variables, (name) =>
    Effect.map(optional(name), (value) => [name, value] as const)
  )
  const home = HomePath.of(Object.fromEntries(values), path)
  return "path" in home ? home.path : yield* new InvalidSettings({ detail: home.problem })
})

/**
 * Reads the settings from the configuration. A later variable is read only if the earlier ones are absent.
 *
 * @category config
 * @since 0.1.0
 */
export const settings: Effect.Effect<Settings, InvalidSettings | Config.ConfigError, Path.Path> = Effect.gen(
  function* () {
    const url = yield* Config.withDefault(Config.Redacted("ATHENA_DATABASE_URL"), Redacted.make(""))
    if (bare(Redacted.value(url)) !== "") return yield* postgresSettings(yield* checkedUrl("ATHENA_DATABASE_URL", url))
    const host = yield* optional("ATHENA_POSTGRES_HOST")
    if (host !== "") {
      const made = yield* urlOfHost(host)
      if (Result.isSuccess(PostgresUrl.parse(Redacted.value(made)))) return yield* postgresSettings(made)
      const detail = "ATHENA_POSTGRES_HOST must be a host name, an address or the folder of a socket"
      return yield* new InvalidSettings({ detail })
    }
    return { _tag: "Embedded", home: yield* home }
  }
)

const unavailable = (cause: unknown, message: string): SqlError =>
  new SqlError({ reason: new ConnectionError({ cause, message, operation: "open" }) })

/**
 * Options of either database.
 *
 * @category models
 * @since 0.1.0
 */
export interface DatabaseOptions {
  /**
   * The timeout of another process's lock (embedded, from 0), or of a connection and, if set, of each operation
   * (Postgres, from 50 ms). 5 seconds when absent. One beyond its bounds is a `RangeError`.
   */
  readonly timeout?: Duration.Input | undefined
}

/**
 * Creates a folder and its parents, accessible only to their owner. It creates them one by one, because the recursive
 * mode of Node.js does not terminate after some errors.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeFolder = (folder: string): Effect.Effect<void, PlatformError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    if (yield* fs.exists(folder)) return
    if (path.dirname(folder) !== folder) yield* makeFolder(path.dirname(folder))
    // Another process may have created it.
    yield* fs
      .makeDirectory(folder, { mode: 0o700 })
      .pipe(
        Effect.catch((error) => Effect.flatMap(fs.exists(folder), (made) => (made ? Effect.void : Effect.fail(error))))
      )
  })

const embedded = (settings: Embedded, options: DatabaseOptions) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const path = yield* Path.Path
      if (options.timeout !== undefined) read.duration("timeout", options.timeout, 0, Infinity)
      yield* makeFolder(settings.home).pipe(
        Effect.mapError((cause) =>
          unavailable(cause, `the folder of the memory could not be created: ${cause.message}`)
        )
      )
      const file = path.join(settings.home, filename)
      PrivateFile.makeDatabase(file)
      return Layer.merge(
        Sqlite.layer({
          filename: file,
          busyTimeout: options.timeout,
          autoVacuum: "incremental"
        }),
        Layer.succeed(Database, { settings, poolStats: Effect.succeedNone })
      )
    })
  )

/**
 * The database of a program and the state of its connection pool. Queries require `SqlClient` only.
 *
 * @category services
 * @since 0.1.0
 */
export class Database extends Context.Service<
  Database,
  {
    readonly settings: Settings
    /** The pool's current state; none for the embedded database. */
    readonly poolStats: Effect.Effect<Option.Option<PoolStats>>
  }
>()("athena-hooks/sql/Database") {}

const read = Options.reader("Database")

/** Loaded on demand, because most hooks use the embedded database. */
const loadPool = Effect.tryPromise({
  try: () => import("../pool/ConnectionPool.ts"),
  catch: missingSqlPg
})

/**
 * The options of every pool for a memory. The target is a primary where one exists, unless the URL names another,
 * because a memory is written.
 *
 * @category accessors
 * @since 0.1.0
 */
export const poolOptions = (
  settings: Postgres
): Pick<ConnectionPoolOptions, "applicationName" | "directUrl" | "target" | "url"> => ({
  url: settings.url,
  directUrl: settings.directUrl,
  applicationName: "athena-hooks",
  target: Result.getOrThrow(PostgresUrl.parse(Redacted.value(settings.url))).target ?? "preferPrimary"
})

const postgres = (settings: Postgres, options: DatabaseOptions) =>
  Layer.unwrap(
    Effect.map(loadPool, ({ ConnectionPool, layer }) => {
      if (options.timeout !== undefined) read.duration("timeout", options.timeout, 50, Infinity)
      const pool = layer({
        ...poolOptions(settings),
        // Detecting the role or a pooler would cost a program with one query a round trip.
        target: undefined,
        prepare: false,
        acquireTimeout: options.timeout,
        connectTimeout: options.timeout,
        // A migration may take long; a caller that sets a timeout applies it to every operation.
        deadline: options.timeout,
        // A program with one query, such as a hook, has no use for an idle connection.
        minConnections: 0
      })
      const database = Effect.map(ConnectionPool, ({ stats }) => ({ settings, poolStats: Effect.asSome(stats) }))
      return Layer.provideMerge(Layer.effect(Database, database), pool)
    })
  )

/**
 * Provides the database of these settings.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  settings: Settings,
  options: DatabaseOptions = {}
): Layer.Layer<Database | SqlClient.SqlClient, SqlError, FileSystem.FileSystem | Path.Path> =>
  settings._tag === "Embedded" ? embedded(settings, options) : postgres(settings, options)

/**
 * Provides the configured database.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  options: DatabaseOptions = {}
): Layer.Layer<
  Database | SqlClient.SqlClient,
  SqlError | InvalidSettings | Config.ConfigError,
  FileSystem.FileSystem | Path.Path
> => Layer.unwrap(Effect.map(settings, (settings) => layer(settings, options)))
