/**
 * Reads which of our hooks Codex runs. Codex runs only hooks that the user has confirmed, and skips others silently. It
 * records a confirmation in `config.toml` as a hash of event, matcher and handler, under the file and position of the
 * hook.
 */
import { hash } from "node:crypto"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Toml from "effect/encoding/Toml"
import * as Wiring from "../Wiring.ts"

export interface InactiveHook {
  readonly event: string
  /**
   * - `untrusted`: the user has not confirmed the hook;
   * - `changed`: the user confirmed another hook at this position;
   * - `disabled`: the user disabled the hook.
   */
  readonly state: "untrusted" | "changed" | "disabled"
}

/** Converts an event name to that of the record: `UserPromptSubmit` to `user_prompt_submit`. */
const recordedName = (event: string): string =>
  event.replaceAll(/(?<=[a-z])[A-Z]/g, (letter) => `_${letter}`).toLowerCase()

const canonical = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(canonical)
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .toSorted(([left], [right]) => (left < right ? -1 : 1))
      .map(([name, member]) => [name, canonical(member)])
  )
}

/** A TOML integer may be a `bigint`. */
const seconds = (timeout: unknown): number => Math.max(1, Number(timeout ?? 600))

/** Returns the hash of a hook as Codex 0.171 computes it: with defaults filled in, without absent members. */
export const hashOf = (event: string, matcher: string | undefined, handler: Wiring.Handler): string => {
  const { async: isAsync = false, command, statusMessage, timeout, type } = handler
  const hooks = [{ async: isAsync, command, statusMessage, timeout: seconds(timeout), type }]
  return `sha256:${hash("sha256", JSON.stringify(canonical({ event_name: recordedName(event), hooks, matcher })))}`
}

interface Placed {
  readonly event: string
  /** The indexes of the group and of the handler. */
  readonly place: string
  readonly matcher: string | undefined
  readonly handler: Wiring.Handler
}

const member = (value: unknown, name: string): unknown => (Predicate.hasProperty(value, name) ? value[name] : undefined)

const list = (value: unknown): ReadonlyArray<unknown> => (Array.isArray(value) ? value : [])

const ours = (settings: unknown): ReadonlyArray<Placed> =>
  Object.entries(member(settings, "hooks") ?? {}).flatMap(([event, groups]) =>
    list(groups).flatMap((group, groupAt) =>
      list(member(group, "hooks")).flatMap((handler, handlerAt) => {
        if (Wiring.installedBy(handler) === undefined) return []
        const matcher = member(group, "matcher")
        return {
          event,
          place: `${recordedName(event)}:${groupAt}:${handlerAt}`,
          matcher: typeof matcher === "string" ? matcher : undefined,
          handler: handler as Wiring.Handler
        }
      })
    )
  )

const stateOf = (entry: unknown, { event, handler, matcher }: Placed): InactiveHook["state"] | undefined => {
  const trusted = member(entry, "trusted_hash")
  if (trusted === undefined) return "untrusted"
  // Codex omits the matcher for events that do not use one.
  if (![matcher, undefined].some((one) => hashOf(event, one, handler) === trusted)) return "changed"
  return member(entry, "enabled") === false ? "disabled" : undefined
}

/**
 * Returns our hooks that Codex does not run, according to the text of its `config.toml`. An invalid file confirms
 * nothing.
 */
export const inactive = (
  record: string,
  files: ReadonlyArray<string>,
  settings: unknown
): ReadonlyArray<InactiveHook> => {
  const config = Result.getOrElse(Toml.parse(record), () => ({}))
  const states = member(member(config, "hooks"), "state")
  return ours(settings).flatMap((placed) => {
    const entry = files.map((file) => member(states, `${file}:${placed.place}`)).find((one) => one !== undefined)
    const state = stateOf(entry, placed)
    return state === undefined ? [] : [{ event: placed.event, state }]
  })
}
