/**
 * A syntax problem with its position.
 */

export class Problem extends Error {
  readonly detail: string
  /** Starts at 1. */
  readonly line: number
  /** Starts at 1, in UTF-16 units. */
  readonly column: number

  constructor(detail: string, line: number, column: number) {
    super(`${detail} (line ${line}, column ${column})`)
    this.detail = detail
    this.line = line
    this.column = column
  }
}

/** Makes a problem at an offset of a text. */
export const at = (text: string, offset: number, detail: string): Problem => {
  const lines = text.slice(0, offset).split(/\r\n|\r|\n/)
  return new Problem(detail, lines.length, (lines.at(-1) ?? "").length + 1)
}
