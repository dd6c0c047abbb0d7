/**
 * Hit rates by capacity and eviction policy: rows, and a picture of the curves. The traces are generated from seeds, so
 * the picture is the same on every machine.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { policies } from "./evictionPolicies.ts"
import * as Row from "./Row.ts"

type Name = keyof typeof policies

type Trace = ReadonlyArray<string>

const length = 100_000
const keys = 10_000
const rooms = [50, 100, 200, 500, 1_000, 2_000, 5_000]
/** The capacity that is printed as rows. */
const printed = 500

const random = (seed: number) => {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

const zipf = (seed: number): ReadonlyArray<number> => {
  const sums: Array<number> = []
  for (let i = 1, sum = 0; i <= keys; i++) sums.push((sum += 1 / i))
  const next = random(seed)
  return Array.from({ length }, () => {
    const at = next() * sums.at(-1)!
    let [low, high] = [0, keys - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if (sums[middle]! < at) low = middle + 1
      else high = middle
    }
    return low
  })
}

const traces: Readonly<Record<string, Trace>> = {
  Zipf: zipf(1).map(String),
  "Zipf with scans": zipf(2).map((key, i) => String(i % 2_000 < 600 ? keys + i : key)),
  "loop over 600": Array.from({ length }, (_, i) => String(i % 600))
}

const hitRate = (trace: Trace, name: Name, room: number): number => {
  const hit = policies[name](room)
  return (trace.filter((key) => hit(key)).length / trace.length) * 100
}

const names = Object.keys(policies) as ReadonlyArray<Name>

interface Curve {
  readonly name: Name
  readonly rates: ReadonlyArray<number>
}

const colours: Readonly<Record<Name, string>> = {
  "S3-FIFO": "#c0392b",
  LRU: "#7f8c8d",
  SIEVE: "#2980b9",
  "W-TinyLFU": "#27ae60"
}

const panel = { width: 260, height: 180, left: 44, top: 34, gap: 30 }

const x = (room: number): number =>
  (Math.log(room / rooms[0]!) / Math.log(rooms.at(-1)! / rooms[0]!)) * (panel.width - 16) + 8
const y = (rate: number): number => panel.height - (rate / 100) * panel.height

const drawPanel = (title: string, curves: ReadonlyArray<Curve>, at: number): string => {
  const grid = [0, 25, 50, 75, 100].map(
    (rate) =>
      `<line x1="0" x2="${panel.width}" y1="${y(rate)}" y2="${y(rate)}" stroke="#8884"/>` +
      (at === 0 ? `<text x="-6" y="${y(rate) + 4}" text-anchor="end">${rate} %</text>` : "")
  )
  const ticks = rooms.map(
    (room) => `<text x="${x(room).toFixed(1)}" y="${panel.height + 16}" text-anchor="middle">${room}</text>`
  )
  const lines = curves.map(({ name, rates }) => {
    const points = rates.map((rate, i) => `${x(rooms[i]!).toFixed(1)},${y(rate).toFixed(1)}`).join(" ")
    const width = name === "S3-FIFO" ? 2.5 : 1.5
    return `<polyline points="${points}" fill="none" stroke="${colours[name]}" stroke-width="${width}"/>`
  })
  const left = panel.left + at * (panel.width + panel.gap)
  return [
    `<g transform="translate(${left} ${panel.top})">`,
    `<text x="${panel.width / 2}" y="-14" text-anchor="middle" font-weight="bold">${title}</text>`,
    ...grid,
    ...ticks,
    ...lines,
    "</g>"
  ].join("\n")
}

const draw = (panels: ReadonlyArray<readonly [string, ReadonlyArray<Curve>]>): string => {
  const width = panel.left + panels.length * (panel.width + panel.gap)
  const height = panel.top + panel.height + 60
  const legend = names.map((name, i) => {
    const left = panel.left + i * 110
    return (
      `<line x1="${left}" x2="${left + 24}" y1="${height - 16}" y2="${height - 16}" stroke="${colours[name]}" ` +
      `stroke-width="3"/><text x="${left + 30}" y="${height - 12}">${name}</text>`
    )
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}"`,
    `  font-family="sans-serif" font-size="11" fill="#888">`,
    "<title>Hits of four eviction policies by the entries there is room for</title>",
    ...panels.map(([title, curves], at) => drawPanel(title, curves, at)),
    ...legend,
    `<text x="${width - panel.gap}" y="${height - 12}" text-anchor="end">hits by the entries there is room for</text>`,
    "</svg>",
    ""
  ].join("\n")
}

export const picture: string = path.join(import.meta.dirname, "pictures", "hit-rates.svg")

export default function* (): Generator<Row.Row> {
  const panels = Object.entries(traces).map(
    ([title, trace]) =>
      [title, names.map((name): Curve => ({ name, rates: rooms.map((room) => hitRate(trace, name, room)) }))] as const
  )
  fs.writeFileSync(picture, draw(panels))
  const at = rooms.indexOf(printed)
  for (const [title, [ours, ...rivals]] of panels) {
    for (const rival of rivals) {
      yield Row.make({
        bench: "cache",
        row: `misses, room for ${printed}, ${title} / ${rival.name}`,
        ours: [100 - ours!.rates[at]!],
        rival: [100 - rival.rates[at]!],
        unit: "%"
      })
    }
  }
}
