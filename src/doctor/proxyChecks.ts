/**
 * Checks the settings that prevent HTTP hooks from reaching 127.0.0.1: proxies, and lists of allowed URLs.
 */
import * as Effect from "effect/Effect"
import * as Agents from "../install/Agents.ts"
import { type Check, failed, ok, warning } from "./check.ts"
import * as SettingsFiles from "../install/settingsFiles.ts"

/** A settings file or the environment of this process. */
interface Place {
  readonly name: string
  readonly env: Readonly<Record<string, unknown>>
  readonly allowedUrls: ReadonlyArray<string> | undefined
}

type Fields = Readonly<Record<string, unknown>>

const isRecord = (value: unknown): value is Fields => typeof value === "object" && value !== null

/** The proxy setting of Qwen Code, besides the variables. */
const ownSetting = "proxy"

const recordOf = (value: unknown): Fields => (isRecord(value) ? value : {})

const placeOf =
  (agent: Agents.Agent) =>
  ({ file, text }: SettingsFiles.SettingsFile): Place => {
    const value = SettingsFiles.valueOf(agent, text)
    const { proxy, security } = recordOf(value)
    const { allowedHttpHookUrls: urls } = recordOf(agent.name === "qwen" ? security : value)
    return {
      name: `env in ${file}`,
      env: { ...SettingsFiles.envOf(agent, text), ...(typeof proxy === "string" ? { [ownSetting]: proxy } : {}) },
      // Qwen Code ignores an empty list.
      allowedUrls: Array.isArray(urls) && !(agent.name === "qwen" && urls.length === 0) ? urls.map(String) : undefined
    }
  }

interface Variable {
  readonly name: string
  readonly value: string
  readonly place: string
}

/** Returns the effective value: settings override the environment. */
const variable = (places: ReadonlyArray<Place>, name: string): Variable | undefined => {
  const place = places.find(({ env }) => typeof env[name] === "string")
  const value = String(place?.env[name] ?? "")
  if (place === undefined || value === "") return undefined
  return { name, value, place: name === ownSetting ? place.name.replace(/^env /, "") : place.name }
}

const firstOf = (places: ReadonlyArray<Place>, names: ReadonlyArray<string>): Variable | undefined =>
  names.map((name) => variable(places, name)).find((found) => found !== undefined)

/** Returns whether an entry of `NO_PROXY` matches an address. Few clients support ranges such as 127.0.0.0/8. */
const covers = (entry: string, { hostname, port }: URL): boolean => {
  const [, host = "", onPort] = /^\*?(.*?)(?::(\d+))?$/.exec(entry) ?? []
  if (entry === "*") return true
  if (onPort !== undefined && onPort !== port) return false
  return entry.startsWith("*") || host.startsWith(".") ? host !== "" && hostname.endsWith(host) : host === hostname
}

interface Proxies {
  /** Variables that the agent also applies to loopback. */
  readonly used: ReadonlyArray<string>
  /** Variables that the agent may apply. */
  readonly perhaps: ReadonlyArray<string>
}

const httpsOnly = ["https_proxy", "HTTPS_PROXY"]
const general = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]

const proxiesOf = (agent: Agents.AgentName): Proxies =>
  agent === "qwen"
    ? { used: [ownSetting, ...httpsOnly, "http_proxy", "HTTP_PROXY"], perhaps: [] }
    : { used: general, perhaps: httpsOnly }

const proxyCheck = (agent: Agents.AgentName, places: ReadonlyArray<Place>, url: URL): Check => {
  const name = "proxy"
  const { perhaps, used } = proxiesOf(agent)
  const exceptions = firstOf(places, ["no_proxy", "NO_PROXY"])
  const isExcepted = exceptions?.value.split(/[\s,]+/).some((entry) => covers(entry, url)) === true
  const surely = firstOf(places, used)
  const found = surely ?? firstOf(places, perhaps)
  if (found === undefined || isExcepted) return ok(name, "no proxy applies to HTTP hooks")
  const advice = `add 127.0.0.1 to ${exceptions?.name ?? "NO_PROXY"}, there or in the environment of the agent`
  return surely === undefined
    ? warning(name, `${found.name} is set (${found.place}); the agent may send events to it`, advice)
    : failed(name, `${found.name} is set (${found.place}), so the agent sends events to it`, advice)
}

const escaped = (text: string): string => text.replace(/[.+?^${}()|[\]\\]/g, "\\$&")

/** Matches a pattern in which `*` matches any text. */
const matches = (pattern: string, url: URL): boolean =>
  new RegExp(`^${escaped(pattern).replace(/\*+/g, ".*")}$`).test(url.href)

const urls = (places: ReadonlyArray<Place>, url: URL): ReadonlyArray<Check> => {
  const name = "allowed urls"
  const lists = places.filter(({ allowedUrls }) => allowedUrls !== undefined)
  const without = lists.filter(({ allowedUrls }) => !allowedUrls?.some((pattern) => matches(pattern, url)))
  if (lists.length === 0) return []
  if (without.length === 0) return [ok(name, "allowedHttpHookUrls permits the HTTP hooks")]
  const files = without.map((place) => place.name.replace(/^env in /, "")).join(", ")
  const detail = `allowedHttpHookUrls has no pattern for ${url.href} in ${files}`
  const advice = `add ${url.origin}/* to it`
  // The agent merges the lists of all files, according to its documentation.
  return [without.length < lists.length ? warning(name, detail, advice) : failed(name, detail, advice)]
}

/** Runs the checks of the address of HTTP hooks. */
export const of = Effect.fnUntraced(function* (name: Agents.AgentName, address: string) {
  const url = new URL(address)
  const agent = Agents.supported.find((one) => one.name === name) ?? Agents.claude
  const files = yield* SettingsFiles.of(agent)
  const own: Place = { name: "in this environment", env: process.env, allowedUrls: undefined }
  const places = [...files.map(placeOf(agent)), own]
  return [proxyCheck(name, places, url), ...urls(places, url)]
})
