/**
 * Edits of a text, and their inverses.
 */

/** Replaces `length` UTF-16 units from `offset` on by `text`. */
export interface Edit {
  readonly offset: number
  readonly length: number
  readonly text: string
}

const inOrder = (edits: ReadonlyArray<Edit>): ReadonlyArray<Edit> =>
  edits.toSorted((left, right) => left.offset - right.offset)

/** Applies edits that do not overlap. Those of the same place are applied in the order given. */
export const apply = (text: string, edits: ReadonlyArray<Edit>): string => {
  const parts: Array<string> = []
  let at = 0
  for (const edit of inOrder(edits)) {
    parts.push(text.slice(at, edit.offset), edit.text)
    at = edit.offset + edit.length
  }
  return parts.join("") + text.slice(at)
}

/** The edits that take the edited text back to the text before. */
export const invert = (text: string, edits: ReadonlyArray<Edit>): ReadonlyArray<Edit> => {
  let shift = 0
  return inOrder(edits).map((edit) => {
    const offset = edit.offset + shift
    shift += edit.text.length - edit.length
    return { offset, length: edit.text.length, text: text.slice(edit.offset, edit.offset + edit.length) }
  })
}
