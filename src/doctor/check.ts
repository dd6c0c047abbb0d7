/**
 * One thing that `athena doctor` looked at.
 */

export interface Check {
  readonly name: string
  readonly status: "ok" | "warning" | "failed"
  readonly detail: string
  /** What to do about it. */
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
