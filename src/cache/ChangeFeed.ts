/**
 * Distributes changes between the caches of several hosts over one database.
 *
 * A feed does not replay missed changes. A cache with a feed therefore serves nothing while the feed is lost, and no entry
 * from before the feed was connected.
 *
 * `PostgresChangeFeed.layer` uses `NOTIFY` and `LISTEN`; any other feed is a Layer of this service.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { SqlError } from "effect/sql/SqlError"
import type { Dependency } from "../query/Dependency.ts"

/**
 * The changed dependencies and tags; `everything` if they are unknown or too many.
 *
 * @category models
 * @since 0.1.0
 */
export type Change =
  | "everything"
  | { readonly dependencies: ReadonlyArray<Dependency>; readonly tags: ReadonlyArray<string> }

/**
 * An event of a feed.
 *
 * - `Connected`: from now on every change is received
 * - `Changed`: another host has changed data
 * - `Lost`: from now on changes may be missed, until the next `Connected`
 *
 * @category models
 * @since 0.1.0
 */
export type FeedEvent =
  | { readonly _tag: "Connected" }
  | { readonly _tag: "Changed"; readonly change: Change }
  | { readonly _tag: "Lost" }

/**
 * Service that publishes changes and receives those of other hosts.
 *
 * @category services
 * @since 0.1.0
 */
export class ChangeFeed extends Context.Service<
  ChangeFeed,
  {
    /** Publishes when the surrounding transaction commits, or immediately without one. */
    readonly publish: (change: Change) => Effect.Effect<void, SqlError>
    /** Emits events while it runs, and never ends by itself. */
    readonly events: Stream.Stream<FeedEvent>
  }
>()("athena-hooks/cache/ChangeFeed") {}
