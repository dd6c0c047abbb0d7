/** A parser of the subset of patterns that detectors use, a sampler of matches, and a check for bounded work. */

export type Node =
  | { readonly kind: "class"; readonly source: string }
  | { readonly kind: "assert"; readonly isPositive: boolean; readonly inner: Node }
  | { readonly kind: "group"; readonly isCapture: boolean; readonly inner: Node }
  | { readonly kind: "sequence"; readonly parts: ReadonlyArray<Node> }
  | { readonly kind: "either"; readonly options: ReadonlyArray<Node> }
  | { readonly kind: "repeat"; readonly min: number; readonly max: number; readonly inner: Node }
  | { readonly kind: "anchor" }

export const parse = (source: string): Node => {
  let at = 0
  const either = (): Node => {
    const options = [sequence()]
    while (source[at] === "|") {
      at++
      options.push(sequence())
    }
    return options.length === 1 ? options[0]! : { kind: "either", options }
  }
  const sequence = (): Node => {
    const parts: Array<Node> = []
    while (at < source.length && source[at] !== "|" && source[at] !== ")") parts.push(repeated(atom()))
    return { kind: "sequence", parts }
  }
  const atom = (): Node => {
    const start = at
    if (source[at] === "(") {
      at++
      const head = /^\?(?:[:=!]|<[=!])/.exec(source.slice(at))?.[0] ?? ""
      at += head.length
      const inner = either()
      at++
      if (head === "" || head === "?:") return { kind: "group", isCapture: head === "", inner }
      return { kind: "assert", isPositive: head.endsWith("="), inner }
    }
    if (source[at] === "[") {
      at++
      while (source[at] !== "]") at += source[at] === "\\" ? 2 : 1
      at++
      return { kind: "class", source: source.slice(start, at) }
    }
    if (source[at] === "\\") {
      at += source[at + 1] === "u" ? 6 : 2
      const escape = source.slice(start, at)
      return escape === "\\b" || escape === "\\B" ? { kind: "anchor" } : { kind: "class", source: escape }
    }
    at++
    return source[start] === "^" || source[start] === "$"
      ? { kind: "anchor" }
      : { kind: "class", source: source[start] === "." ? "." : `[${source[start]}]` }
  }
  const repeated = (inner: Node): Node => {
    const quantifier = /^(?:[*+?]|\{(\d+)(,)?(\d+)?\})\??/.exec(source.slice(at))
    if (quantifier === null) return inner
    at += quantifier[0].length
    const [text, least, comma, most] = quantifier
    const min = least === undefined ? (text.startsWith("+") ? 1 : 0) : Number(least)
    const max =
      least === undefined
        ? text.startsWith("?")
          ? 1
          : Number.POSITIVE_INFINITY
        : most !== undefined
          ? Number(most)
          : comma === undefined
            ? min
            : Number.POSITIVE_INFINITY
    return { kind: "repeat", min, max, inner }
  }
  return either()
}

const units = "aB3kQ7xZ0pM9tR5wY2cF8hJ4nV6dG1sLbEuKiTqWmXoSzAgPyCvNjDfHrUe"
const others = " :=/-_.\"'`@+\\\n<>(){}[]$%&?;,#*~!|^0123456789éα"

/** Letters and digits before other characters. */
const candidates = (source: string, flags: string): ReadonlyArray<string> => {
  const expression = new RegExp(`^(?:${source})$`, flags.replace(/[gy]/g, ""))
  const plain = [...units].filter((unit) => expression.test(unit))
  if (plain.length > 0) return plain
  const all = [...others].filter((unit) => expression.test(unit))
  if (all.length > 0) return all
  const literal = /^\[?\\?(.)\]?$/su.exec(source)?.[1]
  return literal === undefined ? [] : [literal]
}

const hasCapture = (node: Node): boolean => {
  switch (node.kind) {
    case "class":
    case "anchor":
      return false
    case "group":
      return node.isCapture || hasCapture(node.inner)
    case "sequence":
      return node.parts.some(hasCapture)
    case "either":
      return node.options.some(hasCapture)
    default:
      return hasCapture(node.inner)
  }
}

const first = () => 0

/**
 * Makes a text that probably matches, with U+0001 and U+0002 around what the first group matches. The secret is random;
 * what surrounds it is plain, so that it does not resemble a secret itself.
 */
export const sample = (
  root: Node,
  flags: string,
  next: (bound: number) => number,
  isSecret = !hasCapture(root)
): string => sampled(root, flags, next, isSecret ? next : first)

/** `next` chooses alternatives and the secret, `around` the rest. */
const sampled = (
  node: Node,
  flags: string,
  next: (bound: number) => number,
  around: (bound: number) => number
): string => {
  switch (node.kind) {
    case "anchor":
      return ""
    case "class": {
      const options = candidates(node.source, flags)
      return options.length === 0 ? "" : options[around(options.length)]!
    }
    case "assert":
      return node.isPositive ? sampled(node.inner, flags, next, around) : ""
    case "group": {
      const inner = sampled(node.inner, flags, next, node.isCapture ? next : around)
      return node.isCapture ? `\u0001${inner}\u0002` : inner
    }
    case "sequence":
      return node.parts.map((part) => sampled(part, flags, next, around)).join("")
    case "either":
      return sampled(node.options[next(node.options.length)]!, flags, next, around)
    case "repeat": {
      const most = Math.min(node.max, Math.max(node.min, node.max === Number.POSITIVE_INFINITY ? node.min + 24 : 24))
      const count = node.min + around((node.max <= 4 ? node.max : most) - node.min + 1)
      return Array.from({ length: hasCapture(node.inner) ? Math.max(1, count) : count }, () =>
        sampled(node.inner, flags, next, around)
      ).join("")
    }
  }
}

const isNullable = (node: Node): boolean => {
  switch (node.kind) {
    case "class":
    case "assert":
    case "anchor":
      return false
    case "group":
      return isNullable(node.inner)
    case "sequence":
      return node.parts.every(isNullable)
    case "either":
      return node.options.some(isNullable)
    case "repeat":
      return node.min === 0 || isNullable(node.inner)
  }
}

/** Whether an unbounded repetition is followed by a part that can fail, or repeated. */
export const isUnbounded = (node: Node, isFollowed = false): boolean => {
  switch (node.kind) {
    case "class":
    case "anchor":
      return false
    case "assert":
      // An assertion looks again at what it looked at before.
      return isUnbounded(node.inner, true)
    case "group":
      return isUnbounded(node.inner, isFollowed)
    case "sequence":
      return node.parts.some((part, at) =>
        isUnbounded(part, isFollowed || node.parts.slice(at + 1).some((rest) => !isNullable(rest)))
      )
    case "either":
      return node.options.some((option) => isUnbounded(option, isFollowed))
    case "repeat":
      return (
        (node.max === Number.POSITIVE_INFINITY && isFollowed) ||
        isUnbounded(node.inner, isFollowed || node.max === Number.POSITIVE_INFINITY)
      )
  }
}
