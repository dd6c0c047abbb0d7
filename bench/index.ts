/**
 * Runs the benches: `npm run bench` for all, `npm run bench -- NAME ...` for some, `--json` for one object per row. A
 * bench is a file in this folder whose default export yields rows; it receives the other options, which its own comment
 * explains.
 */
import * as fs from "node:fs"
import { createRequire } from "node:module"
import * as os from "node:os"
import { parseArgs } from "node:util"
import type { Row } from "./Row.ts"

const helpers = new Set([
  "index.ts",
  "answeringProcess.ts",
  "Row.ts",
  "PostgresServer.ts",
  "cacheDatabase.ts",
  "cacheItems.ts",
  "cacheRace.ts",
  "cacheWorker.ts",
  "evictionPolicies.ts",
  "hitRates.ts",
  "oldEvents.ts",
  "persistedCache.ts",
  "serverProcess.ts"
])
const require = createRequire(import.meta.url)

const available = fs
  .readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith(".ts") && !helpers.has(file))
  .map((file) => file.slice(0, -".ts".length))
  .toSorted()

const machine = () => ({
  node: process.version,
  effect: (require("effect/package.json") as { version: string }).version,
  cpu: os.cpus()[0]?.model.trim() ?? "unknown",
  cores: os.cpus().length,
  memory: `${Math.round(os.totalmem() / 2 ** 30)} GiB`,
  os: `${os.type()} ${os.release()}`
})

const { positionals: wanted, values: options } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: "boolean" },
    half: { type: "string" },
    history: { type: "string" },
    verbose: { type: "boolean" }
  }
})
const json = options.json === true
const unknown = wanted.filter((name) => !available.includes(name))
if (unknown.length > 0) {
  console.error(`no bench named ${unknown.join(", ")}; there are: ${available.join(", ")}`)
  process.exit(1)
}

const number = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3))

const print = (row: Row): void => {
  if (json) {
    console.log(JSON.stringify(row))
    return
  }
  console.log(
    [
      row.bench.padEnd(8),
      row.row.padEnd(66),
      `${number(row.ours)} ${row.unit}`.padStart(14),
      `${number(row.rival)} ${row.unit}`.padStart(14),
      `${row.ratio.toFixed(2)}x`.padStart(8),
      row.target.padStart(9),
      row.target === "-" ? "" : row.ok ? "  ok" : "  short"
    ].join(" ")
  )
}

const facts = machine()
console.log(
  json
    ? JSON.stringify(facts)
    : Object.entries(facts)
        .map(([key, value]) => `${key} ${value}`)
        .join(", ")
)
if (!json) {
  console.log(
    `${"bench".padEnd(8)} ${"row".padEnd(66)} ${"ours".padStart(14)} ${"rival".padStart(14)}    ratio    target`
  )
}
for (const name of wanted.length > 0 ? wanted : available) {
  const bench = (await import(`./${name}.ts`)) as { default: (given: typeof options) => AsyncIterable<Row> }
  for await (const row of bench.default(options)) print(row)
}
