/**
 * Text edits and their inverses.
 */

/** Replaces `length` UTF-16 units at `offset` with `text`. */
export interface Edit {
  readonly offset: number
  readonly length: number
  readonly text: string
}

const inOrder = (edits: ReadonlyArray<Edit>): ReadonlyArray<Edit> =>
  edits.toSorted((left, right) => left.offset - right.offset)

/** Applies edits that do not overlap. Edits at the same offset apply in the given order. */
export const apply = (text: string, edits: ReadonlyArray<Edit>): string => {
  const parts: Array<string> = []
  let at = 0
  for (const edit of inOrder(edits)) {
    parts.push(text.slice(at, edit.offset), edit.text)
    at = edit.offset + edit.length
  }
  return parts.join("") + text.slice(at)
}

/** Returns the edits that restore the original text. */
export const invert = (text: string, edits: ReadonlyArray<Edit>): ReadonlyArray<Edit> => {
  let shift = 0
  return inOrder(edits).map((edit) => {
    const offset = edit.offset + shift
    shift += edit.text.length - edit.length
    return { offset, length: edit.text.length, text: text.slice(edit.offset, edit.offset + edit.length) }
  })
}
