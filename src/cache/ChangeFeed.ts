/**
 * Tells the caches of several hosts on one database what each of them has changed.
 *
 * A cache that follows a feed serves nothing that it kept before the feed was up, and nothing at all while it is down:
 * what was told meanwhile is not told again.
 *
 * `PostgresChangeFeed.layer` is a feed by `NOTIFY` and `LISTEN`; any other one is a Layer over this service.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { SqlError } from "effect/sql/SqlError"
import type { Dependency } from "../query/Dependency.ts"

/**
 * What was changed; `everything` where that is not known, or too much to tell.
 *
 * @category models
 * @since 0.1.0
 */
export type Change =
  | "everything"
  | { readonly dependencies: ReadonlyArray<Dependency>; readonly tags: ReadonlyArray<string> }

/**
 * What a feed tells.
 *
 * - `Connected`: from now on every change is told
 * - `Changed`: somebody else has changed something
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
 * Service that tells others of changes, and tells of the changes of others.
 *
 * @category services
 * @since 0.1.0
 */
export class ChangeFeed extends Context.Service<
  ChangeFeed,
  {
    /** Tells others when the transaction that it runs in commits, or at once where none is open. */
    readonly publish: (change: Change) => Effect.Effect<void, SqlError>
    /** Tells of changes for as long as it is run, and never ends by itself. */
    readonly events: Stream.Stream<FeedEvent>
  }
>()("athena-hooks/cache/ChangeFeed") {}
