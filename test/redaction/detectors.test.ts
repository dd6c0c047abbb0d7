import { assert, describe, it } from "@effect/vitest"
import { checksOf } from "../../src/redaction/internal/assignments.ts"
import { type Detector, row, type Token } from "../../src/redaction/internal/Detector.ts"
import { attemptsOf, type Attempts, detectors, secretsOf } from "../../src/redaction/internal/detectors.ts"
import { isUnbounded, parse, sample } from "./regexSample.ts"

const seed = Number(process.env["ATHENA_SEED"] ?? 20_261_130)
let state = seed
const next = (bound: number): number => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
  return Math.floor((state / 2 ** 32) * bound)
}

/** The secrets that one detector finds. */
const foundBy = ({ attempt, hints, needs, row }: Detector, text: string): ReadonlyArray<string> => {
  const lower = text.toLowerCase()
  const found: Array<string> = []
  const report = (start: number, end: number) => found.push(text.slice(start, end))
  if (needs.length > 0 && !needs.some((need) => lower.includes(need))) return found
  if (row.run === true) {
    for (const run of lower.matchAll(/[a-z0-9+/=_~.-]{20,}/g)) {
      if (hints.some((hint) => run[0].includes(hint))) attempt(text, run.index, run.index + run[0].length, report)
    }
    return found
  }
  for (let at = 0; at < text.length; at++) {
    if (!hints.some((hint) => lower.startsWith(hint, at)) || row.gate?.(text, at) === false) continue
    attempt(text, Math.max(0, at - (row.back ?? 0)), at, report)
  }
  return found
}

/** Rows whose samples need what a random sample does not have. */
const samples: Readonly<Record<string, string>> = {
  "redis-auth": "redis> AUTH \u0001aB3kQ7xZ0pM9tR5w\u0002",
  launchdarkly: "api-0b5e7b0c-1111-4222-8333-444455556666",
  honeycomb: "hcaik_aB3kQ7xZ0pM9tR5wY2cF8hJ4nV6dG1sLbEuK",
  "vault-legacy": "s.aB3kQ7xZ0pM9tR5wY2cF8hJ4",
  "wifi-code": "WIFI:S:home;P:\u0001aB3kQ7xZ0p\u0002;;",
  "dotted-set": 'config["db_password"] = "\u0001aB3kQ7xZ0p\u0002"',
  "spoken-with": "use the password \u0001aB3kQ7xZ0p\u0002",
  "here-string": "sudo -S <<< \u0001aB3kQ7xZ0p\u0002",
  nearby: "the token \u0001aB3kQ7xZ0pM9tR5wY2cF8hJ4nV\u0002",
  "private-key-ssh2":
    "\u0001---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\naB3kQ7xZ0p\n---- END SSH2 ENCRYPTED PRIVATE KEY ----\u0002"
}

/** Near misses where a shorter secret is not one. */
const misses: Readonly<Record<string, string>> = {
  doppler: "dp.st.prd.aB3kQ , then",
  authorization: "authorization: required for all",
  "spoken-in-other-scripts": "пароль: слово и дело"
}

const sampleOf = ({ row }: Detector): string => {
  const flags = row.flags ?? ""
  const own = samples[row.id]
  if (own !== undefined) return own
  const leads = (row.leads ?? []).map(({ source }) => sample(parse(source), "i", next, false)).join("")
  const inner = leads + sample(parse(row.pattern), flags, next)
  if (row.within === undefined) return inner
  const outer = sample(parse(row.within.replace(/\[\^[^\]]*\]\{0,\d+\}$/, "")), flags, next, false)
  return `${outer} ${inner}`
}

const plain = (text: string): string => text.replace(/[\u0001\u0002]/g, "")

const positive = (detector: Detector): string | undefined => {
  for (let round = 0; round < 400; round++) {
    const text = `see ${sampleOf(detector)} `
    if (foundBy(detector, plain(text)).length > 0) return text
  }
  return undefined
}

const isToken = (value: object): value is Token => "least" in value

const nearMiss = (detector: Detector, text: string): string => {
  const { row } = detector
  const own = misses[row.id]
  if (own !== undefined) return own
  if (isToken(row)) {
    const prefix = sample(parse(row.prefix), "", next)
    return `see ${prefix}${Array.from({ length: Math.min(row.least - 1, 5) }, () => sample(parse(row.body), "", next)).join("")} , then`
  }
  const secret = /\u0001[^]*\u0002/
  if (secret.test(text)) return plain(text.replace(secret, ""))
  return foundBy(detector, plain(text)).reduce(
    (left, found) => left.replace(found, `${found.slice(0, Math.min(6, found.length >> 1))} , `),
    text
  )
}

/** Samples of each detector. */
const rounds = Number(process.env["REDACTION_ROUNDS"] ?? 3)

describe(`each of ${detectors.length} detectors (seed ${seed})`, () => {
  it.each(detectors.map((detector) => [detector.id, detector] as const))(
    "%s finds its secret and no near miss",
    (_, detector) => {
      for (let round = 0; round < rounds; round++) {
        const text = positive(detector)
        assert(text !== undefined, `no sample of ${detector.id} is found: ${JSON.stringify(plain(sampleOf(detector)))}`)
        assert.isAbove(secretsOf(plain(text)).length, 0)
        const miss = nearMiss(detector, text)
        assert.deepStrictEqual(foundBy(detector, miss), [], miss)
      }
    }
  )

  it("has an id of its own and anchors of three units", () => {
    assert.strictEqual(new Set(detectors.map(({ id }) => id)).size, detectors.length)
    for (const { hints, id, row } of detectors) {
      if (row.run !== true) for (const hint of hints) assert.isAtLeast(hint.length, 3, id)
    }
  })
})

const unbounded = (pattern: string) => isUnbounded(parse(pattern))

describe("the work of the redactor", () => {
  it("has no unbounded repetition before a part that can fail", () => {
    for (const { row } of detectors) {
      // What ends at the end of the text cannot fail.
      if (row.id.startsWith("private-key")) continue
      assert.isFalse(unbounded(row.pattern), row.id)
      if (row.within !== undefined) assert.isFalse(unbounded(row.within), row.id)
      for (const { source } of row.leads ?? []) assert.isFalse(unbounded(source), row.id)
    }
  })

  it("is recognised as unbounded in a quadratic row", () => {
    for (const pattern of ["a+b", "a*(?=b)", "(?:a+)+", "(?:a{2,}|b)c", "(?<=a*)b", "[^@]+@"]) {
      assert.isTrue(unbounded(row("quadratic", "aaa", pattern).pattern), pattern)
    }
    for (const pattern of ["ab+", "a{1,9}b", "a+b?", "a+(?:\\s{1,2}b{1,9})*", "(?:a{20,}|b{1,9}c)"]) {
      assert.isFalse(unbounded(pattern), pattern)
    }
  })

  it("grows with the length of a text and no faster, whatever anchors it repeats", () => {
    const hints = [...new Set(detectors.flatMap(({ hints }) => hints))]
    for (const length of [4_000, 16_000]) {
      for (const hint of [...hints.slice(0, 300), "password=aB1x ", "key='", "a://b:c@", "secret\n"]) {
        const work: Attempts = new Map()
        secretsOf(hint.repeat(Math.ceil(length / hint.length)).slice(0, length), work)
        const checks = work.get("assignment") ?? 0
        const attempts = [...work.values()].reduce((sum, count) => sum + count, 0) - checks
        assert.isAtMost(checks, checksOf(length), hint)
        // All detectors of the last anchor are attempted.
        assert.isAtMost(attempts, attemptsOf(length) + detectors.length, hint)
      }
    }
  })

  it("leaks no secret in text that exhausts the attempts", () => {
    const secret = `gh${"p_"}aB3kQ7xZ0pM9tR5wY2cF8hJ4nV6dG1sLbEuK`
    const text = `${"password ".repeat(20_000)}${secret} end`
    assert.isTrue(secretsOf(text).some(({ end, start }) => text.slice(start, end).includes(secret)))
  })
})
