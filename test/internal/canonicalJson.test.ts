import { assert, describe, it } from "@effect/vitest"
import { canonicalJson } from "../../src/internal/canonicalJson.ts"

describe("canonicalJson", () => {
  it("depends on everything but the order of names", () => {
    const text = canonicalJson({ b: [1, { y: "ä", x: null }], a: true })
    assert.strictEqual(text, `{"a":true,"b":[1,{"x":null,"y":"ä"}]}`)
    assert.strictEqual(canonicalJson({ a: true, b: [1, { x: null, y: "ä" }] }), text)
    for (const other of [
      { a: true, b: [{ x: null, y: "ä" }, 1] },
      { a: "true", b: [1, { x: null, y: "ä" }] },
      { a: true, b: [1, { y: "ä" }] },
      { a: true, b: { 0: 1, 1: { x: null, y: "ä" } } }
    ]) {
      assert.notStrictEqual(canonicalJson(other), text)
    }
  })

  it("writes values without a JSON form as null", () => {
    assert.strictEqual(canonicalJson(undefined), "null")
    assert.strictEqual(canonicalJson({ a: undefined, b: Number.NaN }), `{"b":null}`)
  })

  it("holds out where a stack would not", () => {
    const deep = JSON.parse("[".repeat(100_000) + "]".repeat(100_000)) as unknown
    assert.strictEqual(canonicalJson(deep), `${"[".repeat(100)}"…"${"]".repeat(100)}`)
    assert.isString(canonicalJson([Array(20_000).fill(1), deep]))
  })

  it("stops sorting names beyond its limit of values", () => {
    const many = Array(20_000).fill(0)
    const of = (last: object) => canonicalJson({ many, zlast: last })
    assert.strictEqual(of({ b: 1, a: 2 }).slice(-15), `"zlast":{"b":1,"a":2}}`.slice(-15))
    assert.notStrictEqual(of({ b: 1 }), of({ b: 2 }))
  })
})
