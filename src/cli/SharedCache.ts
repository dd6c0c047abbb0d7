/**
 * The memory on a Postgres server, with a cache that all processes of this host share: what a round trip to the server
 * is saved by. Loaded only where there is such a server.
 */
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as CacheStore from "../cache/CacheStore.ts"
import * as CachedMemory from "../memory/CachedMemory.ts"
import * as Database from "../sql/Database.ts"

/** The file holds a thread up while another process has it locked, and a hook has little time. */
const busyTimeout = "20 millis"

/** Which database, and who reads it, however the URL is written. Never the password. */
export const namespaceOf = ({ url }: Database.Postgres): string => {
  const { hostname, pathname, port, username } = new URL(Redacted.value(url))
  return `${username}@${hostname.toLowerCase()}:${port || "5432"}${pathname}`
}

export const layer = (settings: Database.Postgres, filename: string, options: Database.DatabaseOptions) =>
  CachedMemory.layer({ namespace: namespaceOf(settings), announceWithin: "100 millis" }).pipe(
    Layer.provide(CacheStore.layerSqlite({ filename, busyTimeout })),
    Layer.provide(Database.layer(settings, options))
  )
