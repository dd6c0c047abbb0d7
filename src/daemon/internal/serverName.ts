/**
 * Which database a URL means, however it is written and whoever logs in to it.
 */
import * as Redacted from "effect/Redacted"
import type * as Database from "../../sql/Database.ts"

export const serverName = ({ url }: Database.Postgres): string => {
  const { hostname, pathname, port } = new URL(Redacted.value(url))
  return `${hostname.toLowerCase()}:${port || "5432"}${pathname}`
}
