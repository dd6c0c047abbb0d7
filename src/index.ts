/**
 * @since 0.1.0
 */
export * as Dependency from "./query/Dependency.ts"
export * as Migrations from "./sql/Migrations.ts"
export * as Mutation from "./query/Mutation.ts"
export * as Query from "./query/Query.ts"
export * as QueryExecutor from "./query/QueryExecutor.ts"
export * as Sqlite from "./sql/Sqlite.ts"
