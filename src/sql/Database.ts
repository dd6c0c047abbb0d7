/**
 * The database that the configuration names: the embedded one, or a Postgres server.
 *
 * | variable | meaning | default |
 * |---|---|---|
 * | `ATHENA_HOME` | folder of the embedded database, an absolute path or one that begins with `~/`; made with mode 700, its files with mode 600 | `~/.athena` |
 * | `ATHENA_DATABASE_URL` | `postgres://user:password@host:5432/name` instead of the embedded database, see `ConnectionPoolOptions` for its forms; white space and quotes around it are ignored | - |
 * | `ATHENA_DATABASE_DIRECT_URL` | the server itself, where the URL is that of a pooler | - |
 * | `ATHENA_POSTGRES_HOST`, `_PORT`, `_DB`, `_USER`, `_PASSWORD` | the same in parts; the host, or the folder of its socket, alone is enough | -, 5432, `athena`, `postgres`, `postgres` |
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
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
import { ConnectionError, SqlError, UnknownError } from "effect/sql/SqlError"
import * as HomePath from "../internal/homePath.ts"
import * as PrivateFile from "../internal/privateFile.ts"
import type { ConnectionPoolOptions } from "../pool/ConnectionPool.ts"
import { missingSqlPg } from "../internal/missingPeer.ts"
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
  /** The server itself, where `url` is that of a pooler. */
  readonly directUrl?: Redacted.Redacted | undefined
}

/**
 * Which database stores the memory.
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
 * The name of the embedded database's file in its folder.
 *
 * @category constants
 * @since 0.1.0
 */
export const filename = "athena.db"

/** White space and quotes around a value stay there where a file of variables is not read by a shell. */
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
    // The folder of a socket stands in the query, an IPv6 address in brackets.
    if (host.startsWith("/")) {
      return Redacted.make(`postgres://${login}@/${part(database)}?host=${part(host)}&port=${port}`)
    }
    const address = /^[0-9a-f:]*:[0-9a-f:.]*$/i.test(host) ? `[${host}]` : host
    return Redacted.make(`postgres://${login}@${address}:${port}/${part(database)}`)
  })

/**
 * Which servers and database a URL means, however it is written, and the user who logs in; it throws where the URL is
 * none, as those of `settings` never are. A URL with several servers names them in its order.
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
 * The folder of all files on this host, whichever the database is: `ATHENA_HOME`, else `.athena` in the user's own. `~`
 * at its beginning stands for the user's own folder, and a relative path is refused: it would mean another folder wherever
 * an agent runs. It may not exist yet, see `makeFolder`.
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
 * Reads the settings from the configuration. A variable is read only when those before it do not decide.
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
 * Options that hold for either database.
 *
 * @category models
 * @since 0.1.0
 */
export interface DatabaseOptions {
  /**
   * How long to wait for another process's lock (embedded) or for a connection (Postgres); 5 seconds when absent. When
   * given, each operation on Postgres ends within it as well, and it is at least 50 ms there.
   */
  readonly timeout?: Duration.Input | undefined
}

/**
 * Makes a folder, and those above it, for their owner alone. One after the other: where a folder can't be made for no
 * reason that it understands, Node.js tries for ever to make all of them.
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
    // Another process may have made it in the meantime.
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
      yield* makeFolder(settings.home).pipe(
        Effect.mapError((cause) => unavailable(cause, `the folder of the memory could not be made: ${cause.message}`))
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
 * Which database a program runs on, and how the pool of its connections is. Programs that only ask and store need
 * `SqlClient` alone.
 *
 * @category services
 * @since 0.1.0
 */
export class Database extends Context.Service<
  Database,
  {
    readonly settings: Settings
    /** The pool's state now; none for the embedded database, which has no pool. */
    readonly poolStats: Effect.Effect<Option.Option<PoolStats>>
  }
>()("athena-hooks/sql/Database") {}

/** The shortest time in which a connection to a Postgres server may be opened. */
const shortestTimeout = Duration.millis(50)

const timeoutTooShort = new SqlError({
  reason: new UnknownError({
    cause: undefined,
    message: `Database: timeout must be at least ${Duration.format(shortestTimeout)} for Postgres`,
    operation: "configure"
  })
})

const isTooShort = ({ timeout }: DatabaseOptions): boolean =>
  timeout !== undefined && Duration.isLessThan(Duration.fromInputUnsafe(timeout), shortestTimeout)

/** The pool and its driver are loaded only where they are needed: most hooks use the embedded database. */
const loadPool = Effect.tryPromise({
  try: () => import("../pool/ConnectionPool.ts"),
  catch: missingSqlPg
})

/**
 * What every pool for a memory is made with: a primary where there is one, unless the URL says otherwise, for a memory is
 * written.
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
    (isTooShort(options) ? Effect.fail(timeoutTooShort) : loadPool).pipe(
      Effect.map(({ ConnectionPool, layer }) => {
        const pool = layer({
          ...poolOptions(settings),
          // Neither the role of the server nor a pooler before it is worth a round trip to a program that asks once.
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
  )

/**
 * Provides the database of some settings.
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
 * Provides the database that the configuration names.
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
