/**
 * What is wrong with a text, and where.
 */

export class Problem extends Error {
  readonly detail: string
  /** From 1 on. */
  readonly line: number
  /** From 1 on, in UTF-16 units. */
  readonly column: number

  constructor(detail: string, line: number, column: number) {
    super(`${detail} (line ${line}, column ${column})`)
    this.detail = detail
    this.line = line
    this.column = column
  }
}

/** The problem at an offset of a text. */
export const at = (text: string, offset: number, detail: string): Problem => {
  const lines = text.slice(0, offset).split(/\r\n|\r|\n/)
  return new Problem(detail, lines.length, (lines.at(-1) ?? "").length + 1)
}
