/** The order of versions by semver 2.0.0, section 11. */

interface Version {
  readonly numbers: ReadonlyArray<string>
  readonly prerelease: ReadonlyArray<string>
}

const parse = (text: string): Version | undefined => {
  const match = /^v?(\d+\.\d+\.\d+)(?:-([\w.-]+))?(?:\+.*)?$/.exec(text.trim())
  return match === null ? undefined : { numbers: match[1]!.split("."), prerelease: match[2]?.split(".") ?? [] }
}

const isNumeric = (part: string): boolean => /^\d+$/.test(part)

/** Numeric parts by value and before words; an absent part comes first. */
const comparePart = (a: string | undefined, b: string | undefined): number => {
  if (a === undefined || b === undefined) return Number(b === undefined) - Number(a === undefined)
  if (isNumeric(a) && isNumeric(b)) return Number(a) - Number(b)
  if (isNumeric(a) !== isNumeric(b)) return isNumeric(a) ? -1 : 1
  return a < b ? -1 : Number(a > b)
}

const compare = (a: ReadonlyArray<string>, b: ReadonlyArray<string>): number =>
  (a.length < b.length ? b : a).map((_, i) => comparePart(a[i], b[i])).find((order) => order !== 0) ?? 0

const order = (a: Version, b: Version): number =>
  compare(a.numbers, b.numbers) ||
  // A prerelease precedes its release.
  Number(a.prerelease.length === 0) - Number(b.prerelease.length === 0) ||
  compare(a.prerelease, b.prerelease)

/** Whether a version precedes another. An invalid version precedes every valid one. */
export const isOlder = (version: string, than: string): boolean => {
  const a = parse(version)
  const b = parse(than)
  return b !== undefined && (a === undefined || order(a, b) < 0)
}
