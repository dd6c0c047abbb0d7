/**
 * A metric registry that retains the last values of removed metrics. Layers remove their metrics when they close, and
 * the report of a short process is made after that.
 */
import * as Context from "effect/Context"
import type * as Metric from "effect/Metric"

type Metadata = Metric.Metric.Metadata<any, any>

export class RetainingRegistry extends Map<string, Metadata> {
  override delete(key: string): boolean {
    const metadata = this.get(key)
    if (metadata === undefined) return false
    try {
      const last = metadata.hooks.get(Context.empty())
      this.set(key, { ...metadata, hooks: { ...metadata.hooks, get: () => last } })
      return true
    } catch {
      return super.delete(key)
    }
  }
}
