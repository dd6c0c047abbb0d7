/**
 * Following what other hosts change.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Change, ChangeFeed, FeedEvent } from "../ChangeFeed.ts"
import type { InvalidationTracker } from "./invalidationTracker.ts"
import type { InvalidationKeys } from "./invalidationKeys.ts"
import type { Mutations } from "./mutations.ts"

/** What a change touches. */
const touched = (watch: InvalidationKeys, change: Change): ReadonlyArray<string> =>
  change === "everything" ? watch.always : [...watch.changed(change.dependencies), ...change.tags.map(watch.tag)]

/**
 * Takes for changed what others say they have changed, and everything when it can't know what it has missed. Nothing is
 * kept or served until the feed is up, nor when it has ended, after which it is taken up again.
 *
 * What is told takes effect here at once: the store hears of it behind, and nothing that was told waits for that.
 */
export const follow = (options: {
  readonly feed: ChangeFeed["Service"]
  readonly fences: InvalidationTracker
  readonly watch: InvalidationKeys
  readonly writes: Mutations
}): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { feed, fences, watch, writes } = options
    let connected = false
    fences.suspend()

    const suspend = (): void => {
      if (connected) fences.suspend()
      connected = false
    }

    const take = (event: FeedEvent): void => {
      switch (event._tag) {
        case "Connected":
          writes.hear(watch.always)
          if (!connected) fences.resume()
          connected = true
          return
        case "Changed":
          return writes.hear(touched(watch, event.change))
        case "Lost":
          return suspend()
      }
    }

    yield* feed.events.pipe(
      Stream.runForEach((event) => Effect.sync(() => take(event))),
      Effect.ensuring(Effect.sync(suspend)),
      Effect.catchCause((cause) => Effect.logWarning("the feed of changes has failed; it is taken up again", cause)),
      Effect.repeat(Schedule.spaced("1 second")),
      Effect.forkScoped
    )
  })
