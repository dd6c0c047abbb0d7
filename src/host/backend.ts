/**
 * The parts that both backends of the daemon share: the diagnostics of the open database, and its jobs.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { QueryCache } from "../cache/QueryCache.ts"
import * as Consolidation from "../memory/Consolidation.ts"
import * as Retention from "../memory/Retention.ts"
import type { PoolStats } from "../pool/PoolError.ts"

export interface Diagnostics {
  cache: QueryCache["Service"] | undefined
  pool: Effect.Effect<PoolStats> | undefined
}

export class DiagnosticParts extends Context.Service<DiagnosticParts, Diagnostics>()("athena-hooks/daemon/HeldParts") {}

export const layerDiagnostics: Layer.Layer<DiagnosticParts> = Layer.sync(DiagnosticParts, () => ({
  cache: undefined,
  pool: undefined
}))

/** Exposes the cache while it is open. */
export const reportCache = Layer.effectDiscard(
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

const isBounded = ({ maxAge, maxBytes }: Retention.Policy): boolean =>
  Duration.isFinite(maxAge) || Number.isFinite(maxBytes)

/** The jobs of an open database. */
export interface Jobs {
  readonly retention: Retention.Policy
  /** Whether the daemon is idle, for the consolidation; `undefined` without consolidation. */
  readonly isIdle: Effect.Effect<boolean> | undefined
}

export const jobs = ({ isIdle, retention }: Jobs) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      if (isBounded(retention)) yield* Effect.forkScoped(Retention.run(retention))
      if (isIdle !== undefined) yield* Effect.forkScoped(Consolidation.run(isIdle))
    })
  )
