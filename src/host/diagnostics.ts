/**
 * What the process holds at the moment, for those who want to look at it: the database is opened when it is needed, and
 * may be away.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { QueryCache } from "../cache/QueryCache.ts"
import type { PoolStats } from "../pool/PoolError.ts"

export interface Diagnostics {
  cache: QueryCache["Service"] | undefined
  pool: Effect.Effect<PoolStats> | undefined
}

export class DiagnosticParts extends Context.Service<DiagnosticParts, Diagnostics>()("athena-hooks/daemon/HeldParts") {}

export const layer: Layer.Layer<DiagnosticParts> = Layer.sync(DiagnosticParts, () => ({
  cache: undefined,
  pool: undefined
}))

/** Shows the cache of the context for as long as it is there. */
export const showCache = Layer.effectDiscard(
  Effect.gen(function* () {
    const held = yield* DiagnosticParts
    held.cache = yield* QueryCache
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        held.cache = undefined
      })
    )
  })
)
