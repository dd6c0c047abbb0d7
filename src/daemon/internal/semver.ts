/**
 * The order of versions, by semver 2.0.0, section 11. Pure; the shim is built from it too.
 */

interface Version {
  readonly numbers: ReadonlyArray<number>
  readonly prerelease: ReadonlyArray<string>
}

const parse = (text: string): Version | undefined => {
  const match = /^v?(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+.*)?$/.exec(text.trim())
  return match === null
    ? undefined
    : { numbers: match.slice(1, 4).map(Number), prerelease: match[4] === undefined ? [] : match[4].split(".") }
}

const isNumeric = (part: string): boolean => /^\d+$/.test(part)

/** Numbers by value and before words, words by their characters; what has more parts comes later. */
const comparePart = (a: string | undefined, b: string | undefined): number => {
  if (a === undefined || b === undefined) return Number(b === undefined) - Number(a === undefined)
  if (isNumeric(a) && isNumeric(b)) return Number(a) - Number(b)
  if (isNumeric(a) !== isNumeric(b)) return isNumeric(a) ? -1 : 1
  return a < b ? -1 : Number(a > b)
}

const firstDifference = <A>(a: ReadonlyArray<A>, b: ReadonlyArray<A>, compare: (a?: A, b?: A) => number): number => {
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const order = compare(a[i], b[i])
    if (order !== 0) return order
  }
  return 0
}

const order = (a: Version, b: Version): number =>
  firstDifference(a.numbers, b.numbers, (x = 0, y = 0) => x - y) ||
  // A prerelease comes before its release.
  Number(a.prerelease.length === 0) - Number(b.prerelease.length === 0) ||
  firstDifference(a.prerelease, b.prerelease, comparePart)

/** Whether a version is older than another one. A text that is no version is older than every version. */
export const isOlder = (version: string, than: string): boolean => {
  const a = parse(version)
  const b = parse(than)
  return b !== undefined && (a === undefined || order(a, b) < 0)
}
