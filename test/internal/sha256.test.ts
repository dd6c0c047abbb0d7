import { hash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { sha256 } from "../../src/internal/sha256.ts"

const seed = Math.floor(Math.random() * 2 ** 32)

/** A linear congruential generator: a failure can be repeated from the seed. */
const numbers = (state: number) => () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) >>> 8

describe("sha256", () => {
  it("matches the examples of FIPS 180-4", () => {
    assert.strictEqual(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    assert.strictEqual(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
  })

  it(`is the same both ways, at every length of a block and around the limit (seed ${seed})`, () => {
    const next = numbers(seed)
    const letters = ["a", "é", "漢", "\u{1F600}", "\uD800", "\u0000", "\n"]
    const lengths = [...Array.from({ length: 200 }, (_, n) => n), 5_459, 5_460, 5_461, 5_462, 5_463, 16_384, 70_000]
    for (const length of lengths) {
      let text = ""
      while (text.length < length) text += letters[next() % letters.length]!
      assert.strictEqual(sha256(text), hash("sha256", text, "hex"), `length ${length}`)
    }
  })
})
