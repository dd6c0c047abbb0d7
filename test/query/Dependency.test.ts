import { assert, describe, it } from "@effect/vitest"
import * as Dependency from "../../src/query/Dependency.ts"

describe("Dependency", () => {
  it("matches equal scopes of one table, and whole tables in both directions", () => {
    const table = Dependency.make("events")
    const one = Dependency.make("events", 1)
    const two = Dependency.make("events", 2)
    assert.isTrue(Dependency.affects(one, one))
    assert.isFalse(Dependency.affects(one, two))
    assert.isTrue(Dependency.affects(table, one))
    assert.isTrue(Dependency.affects(one, table))
    assert.isFalse(Dependency.affects(one, Dependency.make("goals", 1)))
    assert.isFalse(Dependency.affects(one, Dependency.make("events", "1")))
  })

  it("encodes every table and scope as a distinct key", () => {
    const keys = [
      Dependency.make("events"),
      Dependency.make("events", 1),
      Dependency.make("events", "1"),
      Dependency.make("events", ""),
      Dependency.make('events#"1"')
    ].map(Dependency.toKey)
    assert.deepStrictEqual(keys.slice(0, 3), ["events", "events#1", 'events#"1"'])
    assert.strictEqual(new Set(keys.slice(0, 4)).size, 4)
  })
})
