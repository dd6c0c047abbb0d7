/**
 * The handlers of each event, as settings contain them.
 *
 * @since 0.1.0
 */
import * as Redacted from "effect/Redacted"

/**
 * A JSON value.
 *
 * @category models
 * @since 0.1.0
 */
export type Json = string | number | boolean | null | ReadonlyArray<Json> | { readonly [name: string]: Json }

/**
 * A handler in the format of the agent: a command to run, or an address to post to.
 *
 * @category models
 * @since 0.1.0
 */
export interface Handler {
  readonly [name: string]: Json
}

/**
 * One handler of one event.
 *
 * @category models
 * @since 0.1.0
 */
export interface Wire {
  readonly event: string
  /** One of its strings contains the marker of `mark`. */
  readonly handler: Handler
}

/**
 * The handlers of one settings file, in order.
 *
 * @category models
 * @since 0.1.0
 */
export type Wiring = ReadonlyArray<Wire>

const name = "installed-by=athena-hooks@"

/**
 * The version in the marker of a handler that is identical for all versions.
 *
 * @category constants
 * @since 0.1.0
 */
export const anyVersion = "any"

/**
 * Returns the marker that identifies a handler as ours: an argument that the command ignores. An HTTP handler contains
 * it in a header.
 *
 * @category constructors
 * @since 0.1.0
 */
export const mark = (version: string): string => `--${name}${version}`

const texts = (value: unknown): ReadonlyArray<string> => {
  if (typeof value === "string") return [value]
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(texts) : []
}

/**
 * Returns the version that installed a handler, or `anyVersion`; `undefined` if the handler is not ours.
 *
 * **Example**
 *
 * ```ts
 * import * as Wiring from "athena-hooks/install/Wiring"
 *
 * Wiring.installedBy({ type: "command", command: `athena hook ${Wiring.mark("0.1.0")}` }) // "0.1.0"
 * Wiring.installedBy({ type: "command", command: "athena hook" }) // undefined
 * ```
 *
 * @category accessors
 * @since 0.1.0
 */
export const installedBy = (handler: unknown): string | undefined => {
  for (const text of texts(handler)) {
    const at = text.indexOf(name)
    const version = at < 0 ? undefined : /^[\w.+-]+/.exec(text.slice(at + name.length))?.[0]
    if (version !== undefined) return version
  }
  return undefined
}

const inOrder = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(inOrder)
  if (typeof value !== "object" || value === null) return typeof value === "bigint" ? Number(value) : value
  const members = Object.entries(value).toSorted(([left], [right]) => (left < right ? -1 : 1))
  return Object.fromEntries(members.map(([name, member]) => [name, inOrder(member)]))
}

/**
 * Returns whether two handlers are equal, regardless of the order of their members.
 *
 * @category accessors
 * @since 0.1.0
 */
export const isSame = (left: unknown, right: Handler): boolean =>
  JSON.stringify(inOrder(left)) === JSON.stringify(inOrder(right))

/**
 * Returns whether the text of settings contains a handler of ours, in any format.
 *
 * @category accessors
 * @since 0.1.0
 */
export const isMentioned = (text: string): boolean => text.includes(name)

/**
 * Returns the authorization header of an HTTP handler.
 *
 * @category constructors
 * @since 0.1.0
 */
export const bearer = (token: Redacted.Redacted): string => `Bearer ${Redacted.value(token)}`

const bearers = /\b(Bearer +)[\w.~+/=-]+/gi

/**
 * Returns whether a wiring contains a token, so that other users must not read the settings file.
 *
 * @category accessors
 * @since 0.1.0
 */
export const hasSecret = (wiring: Wiring): boolean =>
  wiring.some(({ handler }) => texts(handler).some((text) => text.search(bearers) >= 0))

/**
 * Replaces every bearer token in a text with `***`.
 *
 * **Example**
 *
 * ```ts
 * import * as Wiring from "athena-hooks/install/Wiring"
 *
 * Wiring.masked('"Authorization": "Bearer 3q2-7w"') // '"Authorization": "Bearer ***"'
 * ```
 *
 * @category conversions
 * @since 0.1.0
 */
export const masked = (text: string): string => text.replaceAll(bearers, "$1***")

/**
 * Replaces the tokens of the given handlers in a text with `***`. Tokens of others remain.
 *
 * **Example**
 *
 * ```ts
 * import * as Wiring from "athena-hooks/install/Wiring"
 *
 * const ours = [{ event: "Stop", handler: { type: "http", headers: { Authorization: "Bearer 3q2-7w" } } }]
 * Wiring.maskedOf(ours, "Bearer 3q2-7w, Bearer of-others") // "Bearer ***, Bearer of-others"
 * ```
 *
 * @category conversions
 * @since 0.1.0
 */
export const maskedOf = (wiring: Wiring, text: string): string => {
  const secrets = new Set(wiring.flatMap(({ handler }) => texts(handler)).flatMap((text) => text.match(bearers) ?? []))
  return text.replaceAll(bearers, (found) => (secrets.has(found) ? masked(found) : found))
}

/** Returns the commands of a handler or of a group of handlers. */
const commandsInGroup = (group: unknown): ReadonlyArray<string> => {
  if (typeof group !== "object" || group === null) return []
  if ("hooks" in group && Array.isArray(group.hooks)) return group.hooks.flatMap(commandsInGroup)
  const isOurs = installedBy(group) !== undefined
  return !isOurs && "command" in group && typeof group.command === "string" ? [group.command] : []
}

const handCall = /(?:^|[\\/\s])athena hook\b/

/**
 * Returns the events for which settings call `athena hook` in a handler that was not installed. Every such event is
 * delivered twice.
 *
 * @category accessors
 * @since 0.1.0
 */
export const byHand = (settings: unknown): ReadonlyArray<string> => {
  if (typeof settings !== "object" || settings === null || !("hooks" in settings)) return []
  const { hooks } = settings
  if (typeof hooks !== "object" || hooks === null) return []
  return Object.entries(hooks)
    .filter(
      ([, groups]) => Array.isArray(groups) && groups.flatMap(commandsInGroup).some((text) => handCall.test(text))
    )
    .map(([event]) => event)
}

/**
 * Groups the handlers by event, in order.
 *
 * @category accessors
 * @since 0.1.0
 */
export const byEvent = (wiring: Wiring): ReadonlyMap<string, ReadonlyArray<Handler>> => {
  const events = new Map<string, ReadonlyArray<Handler>>()
  for (const { event, handler } of wiring) events.set(event, [...(events.get(event) ?? []), handler])
  return events
}
