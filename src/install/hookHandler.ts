/**
 * What an installed handler names: a program and a script, or an address.
 */
import type * as Wiring from "./Wiring.ts"

/** The quoted words of a command, as `Agents` writes them for a shell. */
const quotedWords = (command: string): ReadonlyArray<string> =>
  [...command.matchAll(/'((?:[^']|'\\'')+)'|"([^"]+)"/g)].map(
    ([, single, double = ""]) => single?.replaceAll("'\\''", "'") ?? double
  )

/** Whether a handler posts the event. */
export const isPost = ({ handler }: Wiring.Wire): boolean => handler["type"] === "http"

/** The program and the script that a handler names. */
export const pathsOf = ({ handler: { args, command } }: Wiring.Wire): ReadonlyArray<string> => {
  const words = Array.isArray(args) ? [command, ...args] : quotedWords(String(command))
  return words.slice(0, 2).map(String)
}

/** The program of those that run a command. */
export const nodeOf = (handlers: ReadonlyArray<Wiring.Wire>): string | undefined =>
  handlers.filter((wire) => !isPost(wire)).flatMap((wire) => pathsOf(wire).slice(0, 1))[0]
