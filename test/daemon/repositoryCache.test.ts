import * as NodePath from "@effect/platform-node/NodePath"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import type * as Path from "effect/Path"
import * as TestClock from "effect/testing/TestClock"
import * as Places from "../../src/daemon/internal/repositoryCache.ts"

const at = (path: string) => ({ project: { path, name: path.slice(1) }, worktreePath: path })

/** Folders without a repository, under `/mnt/` where they really are; those that begin with `/dead` don't answer yet. */
const setUp = Effect.gen(function* () {
  const answers = yield* Latch.make()
  const asked: Array<string> = []
  const files = FileSystem.layerNoop({
    realPath: (path) =>
      Effect.suspend(() => {
        asked.push(path)
        // As it is with files: whoever is interrupted, the operation goes on.
        return path.startsWith("/dead") ? Effect.as(answers.await, `/mnt${path}`) : Effect.succeed(`/mnt${path}`)
      }),
    exists: () => Effect.succeed(false)
  })
  const context = yield* Effect.context<FileSystem.FileSystem | Path.Path>().pipe(
    Effect.provide(Layer.merge(files, NodePath.layer))
  )
  return { answers, asked, places: Places.make(context) }
})

describe("repositoryCache", () => {
  it.effect("looks up a repository once per session", () =>
    Effect.gen(function* () {
      const { asked, places } = yield* setUp
      assert.strictEqual((yield* places.find("s-1", "/a")).worktreePath, "/mnt/a")
      yield* TestClock.adjust("1 day")
      assert.strictEqual((yield* places.find("s-1", "/b")).worktreePath, "/mnt/a")
      assert.deepStrictEqual(asked, ["/a"])
    })
  )

  it.effect("uses the folder until its lookup completes", () =>
    Effect.gen(function* () {
      const { answers, asked, places } = yield* setUp
      const waiting = yield* Effect.forkChild(places.find("s-1", "/dead"))
      yield* TestClock.adjust("1999 millis")
      assert.isUndefined(waiting.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* Fiber.join(waiting), at("/dead"))
      // Its other events do not wait.
      assert.deepStrictEqual(yield* places.find("s-1", "/dead"), at("/dead"))
      yield* TestClock.adjust("1 minute")
      const again = yield* Effect.forkChild(places.find("s-1", "/dead"))
      yield* TestClock.adjust("1 second")
      yield* answers.open
      assert.strictEqual((yield* Fiber.join(again)).worktreePath, "/mnt/dead")
      assert.deepStrictEqual(asked, ["/dead"])
    })
  )

  it.effect("runs at most two lookups concurrently", () =>
    Effect.gen(function* () {
      const { answers, asked, places } = yield* setUp
      const folders = ["/dead-1", "/dead-2", "/dead-3", "/a"]
      const all = yield* Effect.forkChild(
        Effect.forEach(folders, (folder) => places.find(folder, folder), { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(
        (yield* Fiber.join(all)).map(({ worktreePath }) => worktreePath),
        folders
      )
      assert.deepStrictEqual(asked, ["/dead-1", "/dead-2"])
      // Whoever gave up waiting has given back nothing: what hangs still hangs.
      const later = yield* Effect.forkChild(places.find("s-9", "/b"))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(asked, ["/dead-1", "/dead-2"])
      yield* answers.open
      assert.strictEqual((yield* Fiber.join(later)).worktreePath, "/mnt/b")
    })
  )
})
