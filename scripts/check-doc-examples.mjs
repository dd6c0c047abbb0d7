/**
 * Type-checks every example in the doc comments of `src` and in the README, as a user of the built package sees it.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const folder = path.join(root, "dist", "doc-examples")

const sources = [
  "README.md",
  ...fs
    .readdirSync(path.join(root, "src"), { recursive: true })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => path.join("src", file))
]

fs.rmSync(folder, { recursive: true, force: true })
fs.mkdirSync(folder, { recursive: true })

// A figure that was to be filled in and was not.
const placeholder = /^[A-Z]+(?:_[A-Z]+)+$/m
if (placeholder.test(fs.readFileSync(path.join(root, "README.md"), "utf8"))) {
  console.error("README.md has a placeholder")
  process.exit(1)
}

let count = 0
for (const source of sources) {
  const text = fs.readFileSync(path.join(root, source), "utf8")
  for (const [, block] of text.matchAll(/```ts\n([^]*?)```/g)) {
    const code = source.endsWith(".md") ? block : block.replace(/^ \* ?/gm, "")
    const name = `${source.replace(/[^\w]+/g, "_")}_${++count}.ts`
    fs.writeFileSync(path.join(folder, name), `// ${source}\n${code}\nexport {}\n`)
  }
}

fs.writeFileSync(
  path.join(folder, "tsconfig.json"),
  JSON.stringify({
    extends: "../../tsconfig.json",
    compilerOptions: { noUnusedLocals: false },
    include: ["*.ts"]
  })
)
const tsc = path.join(root, "node_modules", "typescript", "bin", "tsc")
const { status } = spawnSync(process.execPath, [tsc, "-p", folder], { cwd: root, stdio: "inherit" })
fs.rmSync(folder, { recursive: true, force: true })
console.log(`${count} examples in doc comments and README ${status === 0 ? "compile" : "do not all compile"}`)
process.exitCode = status ?? 1
