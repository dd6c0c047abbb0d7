/**
 * A script whose compiled code is kept between processes.
 *
 * The compile cache of Node.js keeps what V8 has compiled when a script is loaded: its outermost code. Every function
 * inside is compiled again by every process that calls it, which took a hook more time than all that it does. Here the
 * code is kept after the script has done its work, and so has the functions that it called.
 */
import { nodeBuiltin } from "../internal/nodeBuiltin.ts"
import type * as NodeFs from "node:fs"

declare const __ATHENA_BUILD__: string

interface Code {
  readonly bytes: Buffer | undefined
  /** The kinds of work whose functions are in it. */
  readonly kinds: ReadonlyArray<string>
}

const noCode: Code = { bytes: undefined, kinds: [] }

/**
 * The file has the code twice and then a line that says which build it is of. V8 looks at no more than the length of the
 * script, and does not survive code that is damaged; two copies are compared in less time than it takes to load anything
 * that computes a checksum.
 */
const read = (fs: typeof NodeFs, file: string): Code => {
  try {
    const content = fs.readFileSync(file)
    const end = content.lastIndexOf("\n")
    const bytes = content.subarray(0, end / 2)
    const [build, ...kinds] = content.toString("latin1", end + 1).split(" ")
    return build === __ATHENA_BUILD__ && bytes.equals(content.subarray(end / 2, end)) ? { bytes, kinds } : noCode
  } catch {
    return noCode
  }
}

/** A disk that is full shall not get fuller with every process. */
const discard = (fs: typeof NodeFs, draft: string): void => {
  try {
    fs.unlinkSync(draft)
  } catch {
    // It was never made.
  }
}

/** The file is whole on the disk before it gets its name. */
const write = (fs: typeof NodeFs, file: string, bytes: Buffer, kinds: ReadonlyArray<string>): void => {
  const draft = `${file}.${process.pid}`
  try {
    fs.writeFileSync(draft, Buffer.concat([bytes, bytes, Buffer.from(`\n${[__ATHENA_BUILD__, ...kinds].join(" ")}`)]), {
      mode: 0o600,
      flush: true
    })
    fs.renameSync(draft, file)
  } catch {
    // Without it the command is slower and nothing else.
    discard(fs, draft)
  }
}

/** A script that was run. */
export interface CompiledScript {
  readonly exports: unknown
  /** Keeps the code when a kind of work was done for the first time. */
  readonly keep: (kind: string) => void
}

/**
 * Runs a CommonJS script that requires modules of Node.js and no others. Its code is kept in a folder that only its owner
 * can write; nowhere, where there is none.
 */
export const run = (script: string, folder: string | undefined): CompiledScript => {
  const fs = nodeBuiltin("node:fs")
  const { wrap } = nodeBuiltin("node:module")
  const { Script } = nodeBuiltin("node:vm")
  const file =
    folder === undefined ? undefined : `${folder}/${script.replace(/^.*[\\/]/, "")}-${process.version}-${process.arch}`
  const code = file === undefined ? noCode : read(fs, file)
  const compiled = new Script(wrap(fs.readFileSync(script, "latin1")), { filename: script, cachedData: code.bytes })
  const kinds = compiled.cachedDataRejected === false ? code.kinds : []
  const module = { exports: {} }
  compiled.runInThisContext()(module.exports, nodeBuiltin, module)
  return {
    exports: module.exports,
    keep: (kind) => {
      if (file !== undefined && !kinds.includes(kind)) write(fs, file, compiled.createCachedData(), [...kinds, kind])
    }
  }
}
