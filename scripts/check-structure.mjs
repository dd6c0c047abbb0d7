/**
 * Checks the structure of `src`: imports point down the list of folders, no import circle exists, and no folder imports
 * another folder's `internal`.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const src = path.join(root, "src")

/** From top to bottom: a folder imports from itself and from folders below it. */
const order = [
  "cli",
  "doctor",
  "install",
  "hookProcess",
  "daemon",
  "host",
  "logging",
  "hooks",
  "memory",
  "testing",
  "events",
  "profiler",
  "cache",
  "sql",
  "pool",
  "query",
  "relevance",
  "redaction",
  "internal"
]

const files = fs
  .readdirSync(src, { recursive: true })
  .filter((file) => file.endsWith(".ts"))
  .map((file) => file.split(path.sep).join("/"))

const folderOf = (file) => (file.includes("/") ? file.slice(0, file.indexOf("/")) : "")

/** Relative imports of a file, including type imports. */
const importsOf = (file) => {
  const text = fs.readFileSync(path.join(src, file), "utf8")
  return [...text.matchAll(/^(?:import|export)[^"';]*?from "(\.[^"]+)"|\bimport\("(\.[^"]+)"\)/gm)].map(([, a, b]) =>
    path.posix.join(path.posix.dirname(file), a ?? b)
  )
}

const graph = new Map(files.map((file) => [file, importsOf(file)]))
const problems = []

for (const [file, imports] of graph) {
  const folder = folderOf(file)
  if (folder !== "" && !order.includes(folder)) problems.push(`${file}: the folder ${folder} is not in the order`)
  for (const imported of imports) {
    const other = folderOf(imported)
    if (folder === "" || other === folder) continue
    if (order.indexOf(other) < order.indexOf(folder)) problems.push(`${file} imports ${imported}, which is above it`)
    if (other !== "internal" && imported.includes("/internal/")) {
      problems.push(`${file} imports ${imported}, which is internal to ${other}`)
    }
  }
}

/** Strongly connected components of more than one file (Tarjan 1972). */
const circles = () => {
  const index = new Map()
  const low = new Map()
  const stack = []
  const onStack = new Set()
  const found = []
  const visit = (file) => {
    index.set(file, index.size)
    low.set(file, index.get(file))
    stack.push(file)
    onStack.add(file)
    for (const next of graph.get(file) ?? []) {
      if (!index.has(next)) {
        visit(next)
        low.set(file, Math.min(low.get(file), low.get(next)))
      } else if (onStack.has(next)) low.set(file, Math.min(low.get(file), index.get(next)))
    }
    if (low.get(file) !== index.get(file)) return
    const component = stack.splice(stack.indexOf(file))
    for (const one of component) onStack.delete(one)
    if (component.length > 1) found.push(component)
  }
  for (const file of graph.keys()) if (!index.has(file)) visit(file)
  return found
}

for (const circle of circles()) problems.push(`import circle: ${circle.toSorted().join(", ")}`)

for (const problem of problems) console.error(problem)
console.log(`${files.length} files in src, ${problems.length} problems of structure`)
process.exitCode = problems.length === 0 ? 0 : 1
