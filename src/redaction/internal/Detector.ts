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
  /** Whether the secret, which has the right shape, is one. */
  readonly accepts?: ((secret: string) => boolean) | undefined
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

export const row = (id: string, hints: string, pattern: string, options: Pick<Row, "accepts" | "flags"> = {}): Row => ({
  id,
  hints,
  pattern,
  ...options
})

/** The detector of a row. Its pattern is compiled by the first text that has a hint. */
export const fromRow = ({ accepts, flags = "", hints, id, pattern }: Row): Detector => {
  let compiled: RegExp | undefined
  return {
    id,
    hints: hints.split(" "),
    find: (text, report) => {
      compiled ??= new RegExp(pattern, `g${flags}`)
      compiled.lastIndex = 0
      for (let match = compiled.exec(text); match !== null; match = compiled.exec(text)) {
        const secret = match[1] ?? match[0]
        const end = match.index + match[0].length
        if (secret === "") compiled.lastIndex = end + 1
        else if (accepts === undefined || accepts(secret)) report(end - secret.length, end)
      }
    }
  }
}
