/**
 * The profiler's figures in the formats of other tools: Prometheus, OpenTelemetry, and the folded stacks that speedscope and
 * flame graphs are drawn from.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import type * as HttpClient from "effect/http/HttpClient"
import type * as OtlpExporter from "effect/observability/OtlpExporter"
import * as OtlpMetrics from "effect/observability/OtlpMetrics"
import type * as OtlpSerialization from "effect/observability/OtlpSerialization"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import * as ProfileMetrics from "./ProfileMetrics.ts"
import type { ProfileReport } from "./ProfileReport.ts"
import type { Profiler } from "./Profiler.ts"

/**
 * The metrics of `ProfileMetrics`, and no others, in the text format of Prometheus. Where a program serves all its metrics,
 * `ProfileMetrics.layer` and `PrometheusMetrics.layerHttp` of Effect do that.
 *
 * @category exports
 * @since 0.1.0
 */
export const prometheus: Effect.Effect<string, never, Profiler> = Effect.suspend(() =>
  Layer.build(ProfileMetrics.layer).pipe(
    Effect.andThen(PrometheusMetrics.format()),
    Effect.scoped,
    Effect.provideService(Metric.MetricRegistry, new Map())
  )
)

/**
 * Sends all metrics of the program, those of `ProfileMetrics` among them, to an OpenTelemetry collector: at each interval,
 * and once more when the Layer ends, for a program may be over before the first interval is. That last time takes
 * `shutdownTimeout` at most, 3 seconds when absent.
 *
 * **Example**
 *
 * ```ts
 * import * as ProfileExport from "athena-hooks/profiler/ProfileExport"
 * import * as Profiler from "athena-hooks/profiler/Profiler"
 * import * as FetchHttpClient from "effect/http/FetchHttpClient"
 * import * as Layer from "effect/Layer"
 * import * as OtlpSerialization from "effect/observability/OtlpSerialization"
 *
 * const Profiled = ProfileExport.layerOtlp({
 *   url: "http://localhost:4318/v1/metrics",
 *   resource: { serviceName: "hooks" }
 * }).pipe(
 *   Layer.provide([FetchHttpClient.layer, OtlpSerialization.layerJson]),
 *   Layer.provideMerge(Profiler.layer())
 * )
 * ```
 *
 * @category exports
 * @since 0.1.0
 */
export const layerOtlp = (
  options: Parameters<typeof OtlpMetrics.layer>[0]
): Layer.Layer<OtlpExporter.Flusher, never, Profiler | HttpClient.HttpClient | OtlpSerialization.OtlpSerialization> =>
  OtlpMetrics.layer(options).pipe(Layer.provide(ProfileMetrics.layer))

/** What would end a name in a line of folded stacks. */
const separators = /[;\s]+/g

/**
 * The call paths of the level `deep` as folded stacks, a line each: the operations from the outermost to the innermost, and
 * how many microseconds the innermost itself was on the thread. speedscope.app opens it as it is.
 *
 * @category exports
 * @since 0.1.0
 */
export const folded = (report: ProfileReport): string =>
  report.stacks
    .map(
      ({ path, self }) =>
        `${path.map((name) => name.replace(separators, "_") || "_").join(";")} ${Math.round(self * 1_000)}`
    )
    .join("\n")
