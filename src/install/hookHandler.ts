/**
 * The program, script or address in a handler.
 */
import type * as Wiring from "./Wiring.ts"

/** Parses the quoted words of a command line that `Agents` has written. */
const quotedWords = (command: string): ReadonlyArray<string> =>
  [...command.matchAll(/'((?:[^']|'\\'')+)'|"([^"]+)"/g)].map(
    ([, single, double = ""]) => single?.replaceAll("'\\''", "'") ?? double
  )

/** Whether a handler is an HTTP hook. */
export const isPost = ({ handler }: Wiring.Wire): boolean => handler["type"] === "http"

/** Returns the program and the script of a command hook. */
export const pathsOf = ({ handler: { args, command } }: Wiring.Wire): ReadonlyArray<string> => {
  const words = Array.isArray(args) ? [command, ...args] : quotedWords(String(command))
  return words.slice(0, 2).map(String)
}

/** Returns the program of the first command hook. */
export const nodeOf = (handlers: ReadonlyArray<Wiring.Wire>): string | undefined =>
  handlers.filter((wire) => !isPost(wire)).flatMap((wire) => pathsOf(wire).slice(0, 1))[0]
