/**
 * The one place that names the SQLite driver: the build replaces this module by a bundle of it, see `scripts/build.mjs`.
 */
export { make } from "@effect/sql-sqlite-node/SqliteClient"
