/**
 * Following what other hosts change.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Change, ChangeFeed } from "../ChangeFeed.ts"
import type { Fences } from "./fences.ts"
import type { Watch } from "./watch.ts"
import type { Writes } from "./writes.ts"

/** What a change touches. */
const touched = (watch: Watch, change: Change): ReadonlyArray<string> =>
  change === "everything" ? watch.always : [...watch.changed(change.dependencies), ...change.tags.map(watch.tag)]

/**
 * Takes for changed what others say they have changed, and everything when it can't know what it has missed. Nothing is
 * kept or served until the feed is up.
 */
export const follow = (options: {
  readonly feed: ChangeFeed["Service"]
  readonly fences: Fences
  readonly watch: Watch
  readonly writes: Writes
}): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { feed, fences, watch, writes } = options
    let connected = false
    fences.suspend()

    const resume = Effect.sync(() => {
      if (!connected) fences.resume()
      connected = true
    })

    const suspend = Effect.sync(() => {
      if (connected) fences.suspend()
      connected = false
    })

    yield* feed.events.pipe(
      Stream.runForEach((event) => {
        switch (event._tag) {
          case "Connected":
            return Effect.andThen(writes.invalidate(watch.always), resume)
          case "Changed":
            return writes.invalidate(touched(watch, event.change))
          case "Lost":
            return suspend
        }
      }),
      Effect.forkScoped
    )
  })
