/**
 * What finds one kind of secret in a text.
 */

/** Reports a secret: from `start` to before `end`, in UTF-16 units of the text. */
export type Report = (start: number, end: number) => void

export interface Detector {
  readonly id: string
  /**
   * Texts in lower case, one of which stands in every text that has such a secret. To look for them costs little, and
   * most texts have none: a process that runs once would spend more time on compiling patterns than on all else.
   */
  readonly hints: ReadonlyArray<string>
  readonly find: (text: string, report: Report) => void
}

export interface Row {
  readonly id: string
  /** Separated by spaces. */
  readonly hints: string
  /**
   * The source of a pattern. The secret is the first group, which ends the match, or the whole match where there is no
   * group. What surrounds it stands in assertions. No repetition without an upper bound is followed by anything that
   * can fail, so the time is proportional to the text.
   */
  readonly pattern: string
  readonly flags?: string | undefined
  /**
   * The source of a pattern for what the secret stands in, such as a command: the secret is looked for in each match, and
   * the search goes on behind it. So a long context costs no more than a short one.
   */
  readonly within?: string | undefined
  /** Whether the secret, which has the right shape, is one; `before` are the 80 units before it. */
  readonly accepts?: ((secret: string, before: string) => boolean) | undefined
}

/** Matches one after the other, and where the search for the next begins. */
const each = (pattern: RegExp, text: string, visit: (match: RegExpExecArray) => void): void => {
  pattern.lastIndex = 0
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    if (match[0] === "") pattern.lastIndex++
    visit(match)
  }
}

/** A letter or digit before a token makes it part of a word, unless it is the end of an escape such as `\n` or `%3D`. */
export const boundary = "(?<!(?<!\\\\|%[0-9A-Fa-f]|%)[A-Za-z0-9])"

/** Where a text was cut off: there a shorter token counts. */
export const cut = "(?=…|\\.{3}|$)"

/** A token of a service: what it begins with, what it goes on with, and how long that is at least. */
export const token = (
  id: string,
  hints: string,
  prefix: string,
  body: string,
  least: number,
  options: Pick<Row, "accepts"> = {}
): Row => ({
  id,
  hints,
  pattern: `${boundary}(?:${prefix})(?:${body}{${least},}|${body}{1,${least - 1}}${cut})`,
  ...options
})

export const row = (
  id: string,
  hints: string,
  pattern: string,
  options: Pick<Row, "accepts" | "flags" | "within"> = {}
): Row => ({
  id,
  hints,
  pattern,
  ...options
})

/** The detector of a row. Its patterns are compiled by the first text that has a hint. */
export const fromRow = ({ accepts, flags = "", hints, id, pattern, within }: Row): Detector => {
  let compiled: RegExp | undefined
  let outer: RegExp | undefined
  const findIn = (text: string, offset: number, report: Report): void => {
    compiled ??= new RegExp(pattern, `g${flags}`)
    each(compiled, text, (match) => {
      const secret = match[1] ?? match[0]
      const end = match.index + match[0].length
      const start = end - secret.length
      if (secret === "") return
      if (accepts === undefined || accepts(secret, text.slice(Math.max(0, start - 80), start))) {
        report(offset + start, offset + end)
      }
    })
  }
  return {
    id,
    hints: hints.split(" "),
    find: (text, report) => {
      if (within === undefined) return findIn(text, 0, report)
      outer ??= new RegExp(within, `g${flags}`)
      each(outer, text, (match) => findIn(match[0], match.index, report))
    }
  }
}
