/**
 * Keeps the memory within its bounds for as long as its database is open, where it has any.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Retention from "../memory/Retention.ts"

const hasBounds = ({ maxAge, maxBytes }: Retention.Policy): boolean =>
  Duration.isFinite(maxAge) || Number.isFinite(maxBytes)

export const retentionJob = (policy: Retention.Policy) =>
  Layer.effectDiscard(hasBounds(policy) ? Effect.forkScoped(Retention.run(policy)) : Effect.void)
