/**
 * What the resident process answered. Pure.
 */
import * as Layout from "../host/paths.ts"

/** The longest answer that is read, in bytes; an agent takes no more than 10,000 characters of context. */
export const maxBytes = 256 * 1024

export interface ShimResponse {
  readonly status: number
  /** The version of the process; empty where it does not say so. */
  readonly version: string
  /** The JSON object of an answer of status 200, and of 202 where it has one; an empty one for any other. */
  readonly body: string
}

const nonsense = "nonsense"

const isObject = (text: string): boolean => {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === "object" && value !== null && !Array.isArray(value)
  } catch {
    return false
  }
}

/** The answer that begins with these bytes: nothing where more of it must come, or what is wrong with it. */
export const parse = (bytes: Buffer): ShimResponse | "nonsense" | "another protocol" | undefined => {
  const end = bytes.indexOf("\r\n\r\n")
  if (end < 0) return undefined
  const [first = "", ...lines] = bytes.toString("latin1", 0, end).split("\r\n")
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1])
  if (!(status >= 200)) return nonsense
  const headers = new Map(
    lines.map((line) => {
      const colon = line.indexOf(":")
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const
    })
  )
  if (headers.get(Layout.headers.protocol) !== Layout.protocol) return "another protocol"
  const version = headers.get(Layout.headers.version) ?? ""
  const length = Number(headers.get("content-length") || Number.NaN)
  if (status !== 200 && !(status === 202 && length > 0)) return { status, version, body: "{}" }
  if (!(length <= maxBytes)) return nonsense
  if (bytes.length < end + 4 + length) return undefined
  const body = bytes.toString("utf8", end + 4, end + 4 + length)
  return isObject(body) ? { status, version, body } : nonsense
}
