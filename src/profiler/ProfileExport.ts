/**
 * Exports the profiler's figures in the formats of other tools: Prometheus, OpenTelemetry, and folded stacks for flame
 * graphs (speedscope).
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
 * Returns the metrics of `ProfileMetrics`, and no others, in Prometheus text format. To serve all metrics of a program,
 * use `ProfileMetrics.layer` with Effect's `PrometheusMetrics.layerHttp`.
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
 * Sends the metrics of `ProfileMetrics`, and no others, to an OpenTelemetry collector: at each interval, and once more
 * when the Layer closes, because a short program ends before the first interval. The last export takes at most
 * `shutdownTimeout`, 3 seconds when absent. To export all metrics of a program, use `ProfileMetrics.layer` with Effect's
 * `Otlp.layerJson`; beside that, this Layer exports none of them twice.
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
  OtlpMetrics.layer(options).pipe(
    Layer.provide(ProfileMetrics.layer),
    // A registry of its own: other exporters do not see these metrics, and this one sees no others.
    Layer.provide(Layer.sync(Metric.MetricRegistry, () => new Map()))
  )

/** Characters that would end a name in a folded-stack line. */
const separators = /[;\s]+/g

/**
 * Returns the call paths of level `deep` as folded stacks, one line each: the operations from the outermost to the
 * innermost and the innermost's own thread time in microseconds. speedscope.app opens the text as is.
 *
 * @category exports
 * @since 0.1.0
 */
export const folded = (report: ProfileReport): string =>
  report.callPaths
    .map(
      ({ path, self }) =>
        `${path.map((name) => name.replace(separators, "_") || "_").join(";")} ${Math.round(self * 1_000)}`
    )
    .join("\n")
