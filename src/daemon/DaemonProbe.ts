/**
 * What `install`, `uninstall` and `doctor` ask the resident process of a home.
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import { DaemonClient, type DaemonClientError } from "./DaemonClient.ts"
import type { Health } from "./DaemonStatus.ts"
import { databaseIdentity } from "../host/databaseIdentity.ts"
import * as ResidentClient from "./HomeClient.ts"

/** A process that answered, or why none did. */
export type DaemonPresence = { readonly _tag: "Running"; readonly health: Health } | DaemonClientError

/** How the process of a home is. */
export const probe = (home: string): Effect.Effect<DaemonPresence, never, FileSystem.FileSystem> =>
  DaemonClient.use((client) => client.health).pipe(
    Effect.map((health): DaemonPresence => ({ _tag: "Running", health })),
    Effect.catch((error) => Effect.succeed<DaemonPresence>(error)),
    Effect.provide(ResidentClient.layer({ home }))
  )

/** Whether a process that answered uses another database than this environment names. An older one does not say. */
export const hasOtherDatabase = ({ database }: Health): boolean =>
  database !== undefined && database !== databaseIdentity()

/** What to do about it. */
export const otherDatabaseAdvice =
  "give all sessions of this user the same ATHENA_ variables of the database, then run: athena stop; athena install"

/** Asks the process of a home to end, and says whether there was one that does. */
export const stop = (home: string): Effect.Effect<boolean, never, FileSystem.FileSystem> =>
  DaemonClient.use((client) => client.stop).pipe(
    Effect.as(true),
    Effect.orElseSucceed(() => false),
    Effect.provide(ResidentClient.layer({ home }))
  )
