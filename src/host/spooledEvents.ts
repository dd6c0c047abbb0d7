/**
 * The events that wait on this host for the database: a resident process that was killed leaves some, and where none comes
 * back nobody else brings them in.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as EventSpool from "./eventSpool.ts"
import { MemoryRecorder } from "../memory/MemoryRecorder.ts"
import * as Memory from "./Memory.ts"

/** How long they are brought in, before a command does without the rest. */
const limit = Duration.seconds(2)

/** How many there are; none where that can't be known. A spool that is not there is not made by looking at it. */
export const count = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  if (!(yield* fs.exists(yield* EventSpool.filename))) return 0
  const { spooled } = yield* MemoryRecorder.use((recorder) => recorder.stats).pipe(Effect.provide(EventSpool.layer()))
  return spooled
}).pipe(Effect.orElseSucceed(() => 0))

/** Brings them into the database, if there are any. Where that fails they go on waiting, and `athena status` says so. */
export const bringIn = Effect.gen(function* () {
  if ((yield* count) === 0) return
  yield* MemoryRecorder.use((recorder) => recorder.flush({ timeout: limit })).pipe(
    Effect.provide(EventSpool.layerDraining().pipe(Layer.provide(Memory.executor))),
    Effect.ignore
  )
})
