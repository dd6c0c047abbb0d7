/**
 * The one-shot hook under the profiler, selected by `ATHENA_PROFILE`. It is a separate bundle, so that other hooks do
 * not load the profiler.
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"
import * as Profiler from "../profiler/Profiler.ts"
import * as ProfileRecord from "../profiler/ProfileRecord.ts"
import * as Database from "../sql/Database.ts"
import * as Hook from "./hook.ts"

const level = Config.schema(Schema.Literals(["wall", "standard", "deep"]), "ATHENA_PROFILE")

/** Returns the session id of the agent. */
const sessionOf = (body: string): Effect.Effect<string | undefined> =>
  Effect.try(() => (JSON.parse(body) as { readonly session_id?: unknown } | null)?.session_id).pipe(
    Effect.map((id) => (typeof id === "string" ? id.slice(0, 200) : undefined)),
    Effect.orElseSucceed(() => undefined)
  )

/** Writes the profile, including the lifetime of the process. */
const record = (body: string) =>
  Effect.gen(function* () {
    const profiler = yield* Profiler.Profiler
    yield* profiler.record("hook process", performance.now())
    ProfileRecord.write(yield* Database.home, yield* profiler.report, yield* sessionOf(body), () => performance.now())
  }).pipe(Effect.ignoreCause)

const profiled: Hook.Around = (hook, body) =>
  Effect.withTracerEnabled(hook, true).pipe(
    Effect.provide(Profiler.layerTracer),
    Effect.tap(record(body)),
    Effect.provideService(Metric.MetricRegistry, new ProfileRecord.RetainingRegistry()),
    Effect.provide(Layer.catchCause(Profiler.layerConfig({ level }), () => Profiler.layerNoop))
  )

export const main = (onHandled: (event: string) => void, event: Hook.Event): void =>
  Hook.main(onHandled, event, profiled)
