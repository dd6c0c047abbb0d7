/** Text tables: each column is as wide as its content, and the first one takes the rest of the line. */

export interface Style {
  readonly bold: (text: string) => string
  readonly dim: (text: string) => string
}

export const plain: Style = { bold: (text) => text, dim: (text) => text }

const escape = "\u001b["

export const colored: Style = {
  bold: (text) => `${escape}1m${text}${escape}0m`,
  dim: (text) => `${escape}2m${text}${escape}0m`
}

export interface Column<in A> {
  readonly title: string
  readonly value: (row: A) => string
  readonly align: "left" | "right"
}

/** Reduces text to one line of at most this width. */
export const cut = (text: string, width: number): string => {
  // Names come from programs and may contain control characters that a terminal would execute.
  const line = text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, " ")
  return line.length <= width ? line : `${line.slice(0, Math.max(1, width) - 1)}…`
}

const gap = 2
const minFirst = 20

export const format = <A>(
  rows: ReadonlyArray<A>,
  columns: ReadonlyArray<Column<A>>,
  style: Style,
  width: number
): ReadonlyArray<string> => {
  const cells = rows.map((row) => columns.map((column) => cut(column.value(row), width)))
  const widths = columns.map(({ title }, at) => Math.max(title.length, ...cells.map((row) => row[at]!.length)))
  const others = widths.slice(1).reduce((sum, one) => sum + one + gap, gap)
  widths[0] = Math.min(widths[0]!, Math.max(minFirst, width - others))
  const line = (values: ReadonlyArray<string>): string =>
    values
      .map((value, at) => {
        const fitting = cut(value, widths[at]!)
        return columns[at]!.align === "left" ? fitting.padEnd(widths[at]!) : fitting.padStart(widths[at]!)
      })
      .join(" ".repeat(gap))
      .trimEnd()
  return [style.dim(`  ${line(columns.map(({ title }) => title))}`), ...cells.map((row) => `  ${line(row)}`)]
}
