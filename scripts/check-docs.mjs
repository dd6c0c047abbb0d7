/**
 * Checks the documentation: every example in doc comments and documents type-checks as a user of the built package sees
 * it, every link and file reference resolves, `docs/configuration.md` names every option and variable in the code, and
 * `CONTRIBUTING.md` names every folder of `src` and the deadlines in the code.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const read = (file) => fs.readFileSync(path.join(root, file), "utf8")
const list = (folder, ending) =>
  fs
    .readdirSync(path.join(root, folder), { recursive: true })
    .filter((file) => file.endsWith(ending))
    .map((file) => path.posix.join(folder, file.split(path.sep).join("/")))

const documents = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "AGENTS.md", ...list("docs", ".md")]
const sources = list("src", ".ts")
const tests = [...list("test", ".ts"), ...list("bench", ".ts")]
const problems = []

/** Headings as GitHub turns them into anchors. */
const anchorsOf = (file) =>
  new Set(
    [...read(file).matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, "")
        .trim()
        .replace(/\s/g, "-")
    )
  )

for (const document of documents) {
  const text = read(document)
  const prose = text.replace(/```[^]*?```/g, "")
  for (const [, target] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^[a-z]+:/.test(target)) continue
    const [file, anchor] = target.split("#")
    const resolved = file === "" ? document : path.posix.join(path.posix.dirname(document), file)
    if (!fs.existsSync(path.join(root, resolved))) problems.push(`${document}: no file ${target}`)
    else if (anchor !== undefined && !anchorsOf(resolved).has(anchor))
      problems.push(`${document}: no heading ${target}`)
  }
  for (const [, file] of prose.matchAll(/`((?:src|test|bench|scripts|examples|docs)\/[\w./-]*)`/g)) {
    if (!fs.existsSync(path.join(root, file))) problems.push(`${document}: no file ${file}`)
  }
  // The last column of a table of guarantees or faults names tests.
  for (const [table] of prose.matchAll(/^\|[^\n]*\btest[^|\n]*\|\n(?:\|[^\n]*\n)+/gm)) {
    for (const row of table.trim().split("\n").slice(2)) {
      for (const [, name] of (row.split("|").at(-2) ?? "").matchAll(/`([\w./]+)`/g)) {
        if (!tests.some((file) => file.includes(name))) problems.push(`${document}: no test ${name}`)
      }
    }
  }
  // A figure that was to be filled in.
  if (/^[A-Z]+(?:_[A-Z]+)+$/m.test(text)) problems.push(`${document}: has a placeholder`)
}
if (read("README.md").split("\n").length > 151) problems.push("README.md: more than 150 lines")

/** The members of the interfaces whose options a user sets, in a public module or exported by one, and the variables. */
const configuration = read("docs/configuration.md")
const modules = sources.filter((file) =>
  /^src\/(?:cache|daemon|events|hooks|logging|memory|pool|profiler|query|sql|testing)\//.test(file)
)
const isPublic = (file) => /^src\/\w+\/[A-Z]/.test(file)
const exported = modules
  .filter(isPublic)
  .flatMap((file) => [...read(file).matchAll(/^export (?:type )?\{([^}]*)\}/gm)].map(([, names]) => names))
  .join()
const optionInterfaces = /export interface (\w*Options|Bounds|Policy|Deadlines)\b[^{]*\{([^]*?)\n\}/g
for (const file of modules) {
  for (const [, name, body] of read(file).matchAll(optionInterfaces)) {
    if (!isPublic(file) && !new RegExp(`\\b${name}\\b`).test(exported)) continue
    for (const [, member] of body.matchAll(/^ {2}readonly (\w+)\??:/gm)) {
      if (!configuration.includes(`\`${member}\``)) problems.push(`docs/configuration.md: ${name}.${member} is missing`)
    }
  }
}
const variables = new Set(
  sources.flatMap((file) => [...read(file).matchAll(/"(ATHENA_[A-Z_]+)"/g)].map(([, name]) => name))
)
for (const name of variables) {
  if (!configuration.includes(name)) problems.push(`docs/configuration.md: ${name} is missing`)
}

/** The map of the folders, and the deadlines in the order of the columns. */
const contributing = read("CONTRIBUTING.md")
for (const { name } of fs.readdirSync(path.join(root, "src"), { withFileTypes: true }).filter((e) => e.isDirectory())) {
  if (!contributing.includes(`src/${name}/`)) problems.push(`CONTRIBUTING.md: src/${name}/ is missing`)
}
const columns = ["SessionStart", "Prompt", "ToolUse", "Interruption", "SessionEnd"]
const hookDeadlines = read("src/hooks/HookDeadlines.ts")
for (const name of ["daemon", "oneShot"]) {
  const [, deadlines = ""] = new RegExp(`export const ${name}\\b[^=]*= \\{([^}]*)\\}`).exec(hookDeadlines) ?? []
  const inCode = columns.map((event) => new RegExp(`\\b${event}: "([^"]*)"`).exec(deadlines)?.[1])
  const row = contributing.split("\n").find((line) => line.includes(`\`HookDeadlines.${name}\``)) ?? ""
  const documented = row
    .split("|")
    .slice(2, -1)
    .map((cell) => cell.trim().replace(/ ms$/, " millis").replace(/^1 s$/, "1 second").replace(/ s$/, " seconds"))
  if (inCode.join() !== documented.join())
    problems.push(`CONTRIBUTING.md: HookDeadlines.${name} is ${inCode.join(", ")}`)
}

const folder = path.join(root, "dist", "doc-examples")
fs.rmSync(folder, { recursive: true, force: true })
fs.mkdirSync(folder, { recursive: true })
let count = 0
for (const source of [...documents, ...sources]) {
  for (const [, block] of read(source).matchAll(/```ts\n([^]*?)```/g)) {
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
if (status !== 0) problems.push("an example does not compile")

for (const problem of problems) console.error(problem)
console.log(`${documents.length} documents and ${count} examples, ${problems.length} problems`)
process.exitCode = problems.length === 0 ? 0 : 1
