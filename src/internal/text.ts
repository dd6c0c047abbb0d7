/**
 * Text that any database can keep, and text cut to a length.
 */

/** Replaces NUL characters and lone surrogates, which databases refuse, by U+FFFD. */
export const storable = (text: string): string => text.replaceAll("\u0000", "\uFFFD").toWellFormed()

/** The first `length` UTF-16 units at most, ending in `…` where something was cut, never inside a character. */
export const preview = (text: string, length: number): string =>
  text.length <= length ? text : `${text.slice(0, length - 1).replace(/[\uD800-\uDBFF]$/u, "")}…`

/** A number of bytes for a person: megabytes, to a tenth. */
export const megabytes = (bytes: number): string => `${(bytes / 1_048_576).toFixed(1)} MB`
