/**
 * The detector model. Each attempt of a detector does bounded work, and the number of attempts is proportional to the
 * length of the text, so the time is too.
 */

/** Reports a secret: from `start` to before `end`, in UTF-16 units of the text. */
export type Report = (start: number, end: number) => void

/** A pattern that precedes the pattern of a row. */
export interface Lead {
  readonly source: string
  /** The end of its match at `from`, or -1. */
  readonly match: (text: string, from: number) => number
}

/** A lead, which is compiled on first use. Rows that share it compile it once. */
export const lead = (source: string): Lead => {
  let compiled: RegExp | undefined
  return {
    source,
    match: (text, from) => {
      compiled ??= new RegExp(source, "iy")
      compiled.lastIndex = from
      return compiled.test(text) ? compiled.lastIndex : -1
    }
  }
}

export interface Row {
  readonly id: string
  /**
   * Anchors: texts in lower case of at least three units, separated by spaces (`␣` stands for a space). Every match
   * starts at an anchor or, with `back`, at most so many units before one or one unit after its start. Rows with `run` look for anchors inside runs only; they may
   * have shorter ones.
   */
  readonly hints: string
  /** How many units before an anchor a match may start. */
  readonly back?: number | undefined
  /** Texts in lower case, one of which occurs in every text that has such a secret. */
  readonly needs?: string | undefined
  /** A check at an anchor, so that most processes never compile the pattern. */
  readonly gate?: ((text: string, at: number) => boolean) | undefined
  /**
   * Patterns that match one after the other from the anchor, before `pattern`, without backtracking from one into another:
   * as parts of one pattern, long alternatives one after the other multiply the time to compile it.
   */
  readonly leads?: ReadonlyArray<Lead> | undefined
  /** Whether the secret lies in a run of at least 20 letters, digits and `+/=_~.-`. */
  readonly run?: boolean | undefined
  /**
   * The source of a pattern. The secret is the first group, which ends the match, or the whole match if there is no
   * group. Context belongs into assertions. Only the last repetition of a match may be unbounded.
   */
  readonly pattern: string
  readonly flags?: string | undefined
  /** The source of a pattern for the context, such as a command, in whose matches the secret is searched. */
  readonly within?: string | undefined
  /** Decides whether a candidate is a secret; `before` are the 80 units before it. */
  readonly accepts?: ((secret: string, before: string) => boolean) | undefined
}

export type Options = Omit<Row, "id" | "hints" | "pattern">

/** A letter or digit before a token makes it part of a word, unless it ends an escape such as `\n` or `%3D`. */
export const boundary = "(?<!(?<!\\\\|%[0-9A-Fa-f]|%)[A-Za-z0-9])"

/** The place where a text was truncated: there a shorter token counts. */
export const cut = "(?=…|\\.{3}|$)"

export interface Token extends Row {
  readonly prefix: string
  readonly body: string
  readonly least: number
}

/** A token of a service: its prefix, the characters of its body, and the minimum length of the body. */
export const token = (
  id: string,
  hints: string,
  prefix: string,
  body: string,
  least: number,
  options: Options = {}
): Token => ({
  id,
  hints,
  prefix,
  body,
  least,
  pattern: `${boundary}(?:${prefix})(?:${body}{${least},}|${body}{1,${least - 1}}${cut})`,
  ...options
})

export const row = (id: string, hints: string, pattern: string, options: Options = {}): Row => ({
  id,
  hints,
  pattern,
  ...options
})

export interface Detector {
  readonly id: string
  readonly hints: ReadonlyArray<string>
  readonly needs: ReadonlyArray<string>
  readonly row: Row
  /**
   * Searches for a match that starts from `from` to `to`, and returns the end of the match, or `from` if there is none.
   */
  readonly attempt: (text: string, from: number, to: number, report: Report) => number
}

/** The number of units of a line that count as a secret in text that exhausted the attempts. */
const maxLine = 256

export const lineEnd = (text: string, from: number): number => {
  const newline = text.slice(from, from + maxLine).indexOf("\n")
  return newline < 0 ? Math.min(text.length, from + maxLine) : from + newline
}

export const list = (texts: string | undefined): ReadonlyArray<string> =>
  texts === undefined ? [] : texts.split(" ").map((text) => text.replaceAll("␣", " "))

/** The pattern with the whole match as its group, if it has none. */
const grouped = (pattern: string): string =>
  /\((?!\?)/.test(pattern.replace(/\\./g, "").replace(/\[[^\]]*\]/g, "")) ? pattern : `(${pattern})`

/** The detector of a row. Its patterns are compiled at the first attempt. */
export const fromRow = (row: Row): Detector => {
  const { accepts, back = 0, flags = "", pattern, within } = row
  let compiled: RegExp | undefined
  let outer: RegExp | undefined
  const skip = row.run === true ? "" : back === 0 ? "" : `[^]{0,${back + 1}}?`
  const judge = (text: string, match: RegExpExecArray, offset: number, report: Report): number => {
    const secret = match[1]!
    const end = offset + match.index + match[0].length
    const start = end - secret.length
    if (secret !== "" && (accepts === undefined || accepts(secret, text.slice(Math.max(0, start - 80), start)))) {
      report(start, end)
    }
    return end
  }
  const all = (whole: string, part: string, offset: number, report: Report): void => {
    compiled ??= new RegExp(grouped(pattern), `g${flags}`)
    compiled.lastIndex = 0
    for (let match = compiled.exec(part); match !== null; match = compiled.exec(part)) {
      if (match[0] === "") compiled.lastIndex++
      judge(whole, match, offset, report)
    }
  }
  return {
    id: row.id,
    hints: list(row.hints),
    needs: list(row.needs),
    row,
    attempt: (text, from, to, report) => {
      if (row.run === true) {
        // The units around a run are looked at by assertions.
        const start = Math.max(0, from - 3)
        all(text, text.slice(start, to + 3), start, report)
        return to
      }
      const expression =
        within === undefined
          ? (compiled ??= new RegExp(`${skip}(?:${grouped(pattern)})`, `y${flags}`))
          : (outer ??= new RegExp(`${skip}(${within})`, `y${flags}`))
      let head = from
      for (const { match } of row.leads ?? []) {
        head = match(text, head)
        if (head < 0) return from
      }
      expression.lastIndex = head
      const match = expression.exec(text)
      if (match === null) return from
      if (within === undefined) return judge(text, match, 0, report)
      const end = match.index + match[0].length
      all(text, match[1]!, end - match[1]!.length, report)
      return end
    }
  }
}
