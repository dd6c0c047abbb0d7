/**
 * Which database the environment of this command names. The shim asks the same without Effect, and the two must agree, so
 * both take the variables as they stand.
 */
import * as Layout from "./paths.ts"

export const databaseIdentity = (): string => Layout.databaseOf(process.env)
