/**
 * Which events an agent tells to which handler: what is written into its settings.
 *
 * @since 0.1.0
 */
import * as Redacted from "effect/Redacted"

/**
 * A value as JSON has it.
 *
 * @category models
 * @since 0.1.0
 */
export type Json = string | number | boolean | null | ReadonlyArray<Json> | { readonly [name: string]: Json }

/**
 * What the agent does at an event, in the words of its settings: a command to run, or an address to post to.
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
  /** Carries the mark of `mark` in one of its texts, by which it is known again. */
  readonly handler: Handler
}

/**
 * All that is installed into one settings file, in the order in which it is written.
 *
 * @category models
 * @since 0.1.0
 */
export type Wiring = ReadonlyArray<Wire>

const name = "installed-by=athena-hooks@"

/**
 * Stands for the version in the mark of a handler that must be the same for all versions.
 *
 * @category constants
 * @since 0.1.0
 */
export const anyVersion = "any"

/**
 * The text by which a handler is known as ours, whatever was edited around it: an argument that the command passes over.
 * A handler of another kind carries it in another text, for example in a header.
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
 * The version that installed a handler, or `anyVersion`; `undefined` where it is not ours.
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
 * Whether two handlers do the same, in whichever order another program has left their members.
 *
 * @category accessors
 * @since 0.1.0
 */
export const isSame = (left: unknown, right: Handler): boolean =>
  JSON.stringify(inOrder(left)) === JSON.stringify(inOrder(right))

/**
 * Whether the text of settings mentions a handler of ours, whatever its format.
 *
 * @category accessors
 * @since 0.1.0
 */
export const isMentioned = (text: string): boolean => text.includes(name)

/**
 * The header by which a handler shows that it may post, in plain text.
 *
 * @category constructors
 * @since 0.1.0
 */
export const bearer = (token: Redacted.Redacted): string => `Bearer ${Redacted.value(token)}`

const bearers = /\b(Bearer +)[\w.~+/=-]+/gi

/**
 * Whether a wiring has a secret in it, so that the file it is written into is nobody else's business.
 *
 * @category accessors
 * @since 0.1.0
 */
export const hasSecret = (wiring: Wiring): boolean =>
  wiring.some(({ handler }) => texts(handler).some((text) => text.search(bearers) >= 0))

/**
 * A text with `***` in the place of every secret that a handler may carry.
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
 * A text with `***` in the place of the secrets of some handlers, wherever they stand in it. The secrets of others stay.
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

/** A handler, or a group of them. */
const commandsInGroup = (group: unknown): ReadonlyArray<string> => {
  if (typeof group !== "object" || group === null) return []
  if ("hooks" in group && Array.isArray(group.hooks)) return group.hooks.flatMap(commandsInGroup)
  const isOurs = installedBy(group) !== undefined
  return !isOurs && "command" in group && typeof group.command === "string" ? [group.command] : []
}

const handCall = /(?:^|[\\/\s])athena hook\b/

/**
 * The events at which settings call `athena hook` without having been installed: somebody wrote it by hand, so what is
 * installed beside it tells everything twice.
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
 * The handlers of each event, in order.
 *
 * @category accessors
 * @since 0.1.0
 */
export const byEvent = (wiring: Wiring): ReadonlyMap<string, ReadonlyArray<Handler>> => {
  const events = new Map<string, ReadonlyArray<Handler>>()
  for (const { event, handler } of wiring) events.set(event, [...(events.get(event) ?? []), handler])
  return events
}
