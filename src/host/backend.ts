/**
 * The parts that both backends of the daemon share: the diagnostics of the open database, and the retention job.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { QueryCache } from "../cache/QueryCache.ts"
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

export const retentionJob = (policy: Retention.Policy) =>
  Layer.effectDiscard(isBounded(policy) ? Effect.forkScoped(Retention.run(policy)) : Effect.void)
