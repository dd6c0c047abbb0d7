/**
 * The bytes that the first level counts are those that the heap has.
 */
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { assert, describe, it } from "@effect/vitest"
import * as InvalidationTracker from "../../src/cache/internal/invalidationTracker.ts"
import * as MemoryTier from "../../src/cache/internal/memoryTier.ts"

setFlagsFromString("--expose-gc")
const collect = runInNewContext("gc") as () => void

/** A text of its own, in one piece. */
const text = (length: number, i: number) => Buffer.alloc(length, 97 + (i % 20)).toString("latin1")

const values: Readonly<Record<string, (i: number) => unknown>> = {
  nothing: () => null,
  "a number": (i) => i,
  "a fraction": (i) => i + 0.5,
  "a short text": (i) => `v${i}`,
  "a text of 2,000 characters": (i) => text(2_000, i),
  "a text of two bytes a character": (i) => Buffer.from("é€".repeat(250) + String(i)).toString("utf8"),
  "a row": (i) => ({ id: i, name: text(12, i), ok: true }),
  "ten rows": (i) => Array.from({ length: 10 }, (_, at) => ({ id: at, name: text(12, i), at: at * 1.5 })),
  "a hundred rows": (i) =>
    Array.from({ length: 100 }, (_, at) => ({ id: at, title: text(30, i), body: text(100, at) })),
  "nested objects": (i) => ({ a: { b: { c: { d: i } } }, list: [1, 2, 3, i] }),
  "a date": (i) => new Date(i),
  "a map": (i) =>
    new Map([
      ["a", i],
      ["b", i]
    ]),
  bytes: (i) => new Uint8Array(300).fill(i)
}

/** The watched keys: own ones and ones that all entries share. */
const watching: Readonly<Record<string, (i: number) => ReadonlyArray<string>>> = {
  "two of its own, one shared": (i) => [`entry:${text(40, i)}${i}`, `scope:prices ${i}`, "table:prices"],
  "shared only": () => ["any:prices", "any:shops", "table:shops"],
  "eight of its own": (i) => Array.from({ length: 8 }, (_, at) => `scope:prices ${at} ${text(20, i)}${i}`)
}

const used = (): number => {
  collect()
  collect()
  const { external, heapUsed } = process.memoryUsage()
  return heapUsed + external
}

/** The bytes that the heap has for an entry, and those that are counted. */
const measure = (value: (i: number) => unknown, watched: (i: number) => ReadonlyArray<string>) => {
  const tracker = InvalidationTracker.make()
  const memory = MemoryTier.make(1_000_000, 2 ** 32, tracker)
  const count = 2_000
  const before = used()
  for (let i = 0; i < count; i++) {
    const made = value(i)
    const entry = {
      value: made,
      tier: "source" as const,
      stamp: `${text(20, i)}:${i}`,
      storedAt: i,
      freshUntil: i + 300_000.5,
      expiresAt: i + 300_000.5,
      size: MemoryTier.estimateSize(made)
    }
    memory.set(`1|{"shop":${i}}`, watched(i), entry, { generation: 1 })
  }
  const real = (used() - before) / count
  assert.strictEqual(memory.entries(), count)
  const counted = memory.bytes() / count
  memory.clear()
  return { real, counted }
}

const within = (part: number, { counted, real }: ReturnType<typeof measure>) => {
  assert.isAbove(counted, real * (1 - part), `counted ${counted}, real ${real}`)
  assert.isBelow(counted, real * (1 + part), `counted ${counted}, real ${real}`)
}

describe("the bytes of an entry in memory are counted within 30 %", () => {
  it.each(Object.keys(values))("for %s", (name) => {
    within(0.3, measure(values[name]!, watching["two of its own, one shared"]!))
  })

  it.each(Object.keys(watching))("watching %s", (name) => {
    within(0.3, measure(values["a row"]!, watching[name]!))
  })
})
