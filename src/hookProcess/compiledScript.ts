/**
 * Runs a script with compiled code that is cached between processes.
 *
 * The compile cache of Node.js stores the code that V8 compiles at load time: the top level. Each process compiles
 * every function inside again, which takes a hook longer than its work. This cache is written after the script has done
 * its work, so it includes the functions that ran.
 */
import { nodeBuiltin } from "../internal/nodeBuiltin.ts"
import type * as NodeFs from "node:fs"

declare const __ATHENA_BUILD__: string

interface Code {
  readonly bytes: Buffer | undefined
  /** The kinds of work whose functions the code includes. */
  readonly kinds: ReadonlyArray<string>
}

const noCode: Code = { bytes: undefined, kinds: [] }

/**
 * The file contains the code twice, then a line with the build id. V8 validates only the length of the source and
 * crashes on corrupted code; comparing two copies takes less time than loading a checksum implementation.
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

/** Removes the draft, so that failed writes do not accumulate on a full disk. */
const discard = (fs: typeof NodeFs, draft: string): void => {
  try {
    fs.unlinkSync(draft)
  } catch {
    // The draft does not exist.
  }
}

/** Writes a draft, syncs it and renames it, so that readers see a complete file. */
const write = (fs: typeof NodeFs, file: string, bytes: Buffer, kinds: ReadonlyArray<string>): void => {
  const draft = `${file}.${process.pid}`
  try {
    fs.writeFileSync(draft, Buffer.concat([bytes, bytes, Buffer.from(`\n${[__ATHENA_BUILD__, ...kinds].join(" ")}`)]), {
      mode: 0o600,
      flush: true
    })
    fs.renameSync(draft, file)
  } catch {
    // The cache is optional.
    discard(fs, draft)
  }
}

/** A script that has run. */
export interface CompiledScript {
  readonly exports: unknown
  /** Writes the cache if it lacks the functions of this kind of work. */
  readonly save: (kind: string) => void
}

/** Fails for other modules, such as the optional ones of a bundled package. */
const requireBuiltin = (name: string): unknown => {
  const found = nodeBuiltin(name)
  if (found === undefined) throw new Error(`the bundle contains no module ${name}`)
  return found
}

/**
 * Runs a CommonJS script that requires only Node.js modules. `folder` stores the compiled code and must be writable
 * only by its owner; nothing is cached when it is absent.
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
  compiled.runInThisContext()(module.exports, requireBuiltin, module, script, script.replace(/[\\/][^\\/]*$/, ""))
  return {
    exports: module.exports,
    save: (kind) => {
      if (file !== undefined && !kinds.includes(kind)) write(fs, file, compiled.createCachedData(), [...kinds, kind])
    }
  }
}
