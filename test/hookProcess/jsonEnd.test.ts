import { assert, describe, it } from "@effect/vitest"
import * as JsonEnd from "../../src/hookProcess/jsonEnd.ts"

/** The place of the end in the whole, given in pieces of a size. */
const endOf = (bytes: Buffer, size: number): number => {
  const endIn = JsonEnd.make()
  for (let at = 0; at < bytes.length; at += size) {
    const end = endIn(bytes.subarray(at, at + size))
    if (end >= 0) return at + end
  }
  return -1
}

const values: ReadonlyArray<unknown> = [
  {},
  [],
  [[]],
  { a: 1 },
  { a: { b: [{ c: "}" }] }, d: "]" },
  { a: '"', b: "\\", c: '\\"', d: '\\\\"}', e: "\\\\" },
  { "}": '{"', "\\": ["\\", '"', '"}'] },
  { emoji: "\u{1F680} \ud83d", latin: "café", control: "\u0000\n\t", ключ: "значение" },
  { nested: JSON.stringify(JSON.stringify(JSON.stringify({ a: '"}\\' }))) },
  JSON.parse("[".repeat(500) + "]".repeat(500)),
  { long: "\\".repeat(1_001), quotes: '"'.repeat(1_001), both: '\\"'.repeat(500) }
]

const texts = values.flatMap((value) => [JSON.stringify(value), JSON.stringify(value, null, 2)])

describe("the end of a JSON value in pieces", () => {
  it("is found at any split and with trailing data", () => {
    for (const text of texts) {
      for (const before of ["", " \r\n\t", "\uFEFF"]) {
        for (const behind of ["", "\n", "\r\n", "\u0000", '{"b":2}', "]}", '"']) {
          const value = Buffer.from(before + text)
          const bytes = Buffer.concat([value, Buffer.from(behind)])
          for (const size of [1, 2, 3, 5, 7, 64, bytes.length]) {
            assert.strictEqual(endOf(bytes, size), value.length, `${size}: ${text.slice(0, 60)} ${behind}`)
          }
        }
      }
    }
  })

  it("is not found before the last byte of the value", () => {
    for (const text of texts.filter(({ length }) => length < 2_000)) {
      const bytes = Buffer.from(text)
      for (let cut = 0; cut < bytes.length; cut++) assert.strictEqual(endOf(bytes.subarray(0, cut), 3), -1)
    }
  })

  it("is found only in objects and arrays", () => {
    for (const text of ["'{}'", "null", "12 {}", '"text" {}', "", "   ", "x{}", "}{"]) {
      assert.strictEqual(endOf(Buffer.from(text), 1), -1, text)
    }
    assert.strictEqual(endOf(Buffer.from('\uFEFF{"a":1}', "utf16le"), 1), -1)
  })

  it("takes linear time for strings of quotes, backslashes or braces", () => {
    for (const filler of ['\\"', "\\\\", "{", "x"]) {
      const bytes = Buffer.from(`{"a":"${filler.repeat(2_000_000)}"}`)
      assert.strictEqual(endOf(bytes, 65_536), bytes.length)
    }
  })
})
