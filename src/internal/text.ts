/** Text helpers: valid database text, truncation, and quantities. */

/** Replaces NUL characters and lone surrogates, which databases reject, with U+FFFD. */
export const storable = <Text extends string>(text: Text): Text =>
  text.replaceAll("\u0000", "\uFFFD").toWellFormed() as Text

/** Truncates to `length` UTF-16 units, with a final `…`, never inside a character. */
export const preview = (text: string, length: number): string =>
  text.length <= length ? text : `${text.slice(0, length - 1).replace(/[\uD800-\uDBFF]$/u, "")}…`

/** Formats a number of bytes in megabytes, with one decimal. */
export const megabytes = (bytes: number): string => `${(bytes / 1_048_576).toFixed(1)} MB`

/** Formats a count with its noun: `1 event`, `2 events`. */
export const plural = (noun: string, count: number | bigint): string =>
  `${count} ${noun}${Number(count) === 1 ? "" : "s"}`
