/**
 * The result of one check of `athena doctor`.
 */

export interface Check {
  readonly name: string
  readonly status: "ok" | "warning" | "failed"
  readonly detail: string
  /** The next step. */
  readonly advice?: string
}

export const ok = (name: string, detail: string): Check => ({ name, status: "ok", detail })

export const warning = (name: string, detail: string, advice: string): Check => ({
  name,
  status: "warning",
  detail,
  advice
})

export const failed = (name: string, detail: string, advice: string): Check => ({
  name,
  status: "failed",
  detail,
  advice
})
