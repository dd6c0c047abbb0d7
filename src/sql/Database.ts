/**
 * The database that the configuration names: the embedded one, or a Postgres server.
 *
 * | variable | meaning | default |
 * |---|---|---|
 * | `ATHENA_HOME` | folder of the embedded database; made with mode 700 | `~/.athena` |
 * | `ATHENA_DATABASE_URL` | `postgres://user:password@host:5432/name` instead of the embedded database | - |
 * | `ATHENA_POSTGRES_HOST`, `_PORT`, `_DB`, `_USER`, `_PASSWORD` | the same in parts; the host alone is enough | -, 5432, `athena`, `postgres`, `postgres` |
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as SqlClient from "effect/sql/SqlClient"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
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
}

/**
 * Where the memory is kept.
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

const configuration = Config.all({
  home: Config.option(Config.String("ATHENA_HOME")),
  userHome: Config.option(Config.String("HOME")),
  userProfile: Config.option(Config.String("USERPROFILE")),
  url: Config.option(Config.Redacted("ATHENA_DATABASE_URL")),
  host: Config.option(Config.String("ATHENA_POSTGRES_HOST")),
  port: Config.withDefault(Config.Int("ATHENA_POSTGRES_PORT"), 5432),
  database: Config.withDefault(Config.String("ATHENA_POSTGRES_DB"), "athena"),
  username: Config.withDefault(Config.String("ATHENA_POSTGRES_USER"), "postgres"),
  password: Config.withDefault(Config.Redacted("ATHENA_POSTGRES_PASSWORD"), Redacted.make("postgres"))
})

const isPostgresUrl = (url: Redacted.Redacted): boolean => {
  const value = Redacted.value(url)
  return /^postgres(?:ql)?:\/\//.test(value) && URL.canParse(value)
}

/**
 * Reads the settings from the configuration.
 *
 * @category config
 * @since 0.1.0
 */
export const settings: Effect.Effect<Settings, InvalidSettings | Config.ConfigError, Path.Path> = Effect.gen(
  function* () {
    const path = yield* Path.Path
    const config = yield* configuration
    if (Option.isSome(config.url)) {
      return isPostgresUrl(config.url.value)
        ? { _tag: "Postgres" as const, url: config.url.value }
        : yield* new InvalidSettings({ detail: "ATHENA_DATABASE_URL must be a postgres:// URL" })
    }
    if (Option.isSome(config.host)) {
      const part = encodeURIComponent
      const login = `${part(config.username)}:${part(Redacted.value(config.password))}`
      const url = `postgres://${login}@${config.host.value}:${config.port}/${part(config.database)}`
      return URL.canParse(url)
        ? { _tag: "Postgres" as const, url: Redacted.make(url) }
        : yield* new InvalidSettings({ detail: "ATHENA_POSTGRES_HOST must be a host name or an address" })
    }
    if (Option.isSome(config.home) && config.home.value !== "") {
      return { _tag: "Embedded" as const, home: path.resolve(config.home.value) }
    }
    const user = Option.orElse(config.userHome, () => config.userProfile)
    return Option.isSome(user)
      ? { _tag: "Embedded" as const, home: path.join(user.value, ".athena") }
      : yield* new InvalidSettings({ detail: "neither ATHENA_HOME nor HOME is set" })
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
  /** How long to wait for another process's lock (embedded) or for a connection (Postgres). 5 seconds when absent. */
  readonly timeout?: Duration.Input | undefined
}

const embedded = (home: string, options: DatabaseOptions) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      yield* fs
        .makeDirectory(home, { recursive: true, mode: 0o700 })
        .pipe(Effect.mapError((cause) => unavailable(cause, "the folder of the memory could not be made")))
      return Sqlite.layer({ filename: path.join(home, filename), busyTimeout: options.timeout })
    })
  )

/** The driver is loaded only where it is needed: most hooks use the embedded database. */
const postgres = (url: Redacted.Redacted, options: DatabaseOptions) =>
  Layer.unwrap(
    Effect.tryPromise({
      try: () => import("@effect/sql-pg/PgClient"),
      catch: (cause) => unavailable(cause, "Postgres needs the package @effect/sql-pg: install it")
    }).pipe(
      Effect.map((PgClient) => {
        const { hostname, pathname, port } = new URL(Redacted.value(url))
        return PgClient.layer({
          url,
          applicationName: "athena-hooks",
          connectTimeout: options.timeout ?? "5 seconds",
          maxConnections: 3,
          spanAttributes: {
            "server.address": hostname,
            "server.port": port === "" ? 5432 : Number(port),
            "db.namespace": decodeURIComponent(pathname.slice(1))
          }
        })
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
): Layer.Layer<SqlClient.SqlClient, SqlError, FileSystem.FileSystem | Path.Path> =>
  settings._tag === "Embedded" ? embedded(settings.home, options) : postgres(settings.url, options)

/**
 * Provides the database that the configuration names.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  options: DatabaseOptions = {}
): Layer.Layer<
  SqlClient.SqlClient,
  SqlError | InvalidSettings | Config.ConfigError,
  FileSystem.FileSystem | Path.Path
> => Layer.unwrap(Effect.map(settings, (settings) => layer(settings, options)))
