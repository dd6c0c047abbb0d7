/**
 * Receipts: the edits that restore the previous bytes of a settings file while it is unchanged. They contain the
 * inserted text and the whitespace that it replaced, nothing else of the file.
 */
import { hash } from "node:crypto"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { makeFolders } from "./settingsFile.ts"

/** The maximum number of receipts; the oldest are deleted. Without a receipt, our handlers can still be removed. */
const maxReceipts = 500

const Edit = Schema.Struct({ offset: Schema.Natural, length: Schema.Natural, text: Schema.String })

export const Receipt = Schema.Struct({
  file: Schema.String,
  /** The digest of the text after the installation. */
  digest: Schema.String,
  /** The edits that lead back to the previous text, in order. */
  undo: Schema.Array(Schema.Array(Edit)),
  /** The lists of handlers that existed before. */
  existing: Schema.Array(Schema.String),
  /** Whether the installation created the file. */
  created: Schema.Boolean,
  /** The folders that the installation created, the outermost first. */
  folders: Schema.Array(Schema.String),
  /** The mode before the file was closed to other users. */
  mode: Schema.optional(Schema.Natural)
})

export type Receipt = typeof Receipt.Type

export const digest = (text: string): string => hash("sha256", text)

const codec = Schema.fromJsonString(Receipt)

const place = Effect.fnUntraced(function* (home: string, file: string) {
  const path = yield* Path.Path
  return path.join(home, "install", `${digest(file).slice(0, 32)}.json`)
})

/** Returns the receipt of a file, if it exists and is valid. */
export const find = Effect.fnUntraced(
  function* (home: string, file: string) {
    const fs = yield* FileSystem.FileSystem
    const text = yield* fs.readFileString(yield* place(home, file))
    const receipt = yield* Schema.decodeEffect(codec)(text)
    return receipt.file === file ? receipt : undefined
  },
  Effect.orElseSucceed(() => undefined)
)

/** Returns the files with receipts. */
export const files = Effect.fnUntraced(
  function* (home: string) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const folder = path.join(home, "install")
    const names = (yield* fs.readDirectory(folder)).filter((name) => name.endsWith(".json"))
    const read = (name: string) =>
      Effect.option(Effect.flatMap(fs.readFileString(path.join(folder, name)), Schema.decodeEffect(codec)))
    return (yield* Effect.forEach(names, read)).flatMap((receipt) =>
      Option.isSome(receipt) ? [receipt.value.file] : []
    )
  },
  Effect.orElseSucceed((): ReadonlyArray<string> => [])
)

const prune = Effect.fnUntraced(
  function* (folder: string) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const names = yield* fs.readDirectory(folder)
    if (names.length <= maxReceipts) return
    const aged = yield* Effect.forEach(names, (name) =>
      Effect.map(fs.stat(path.join(folder, name)), ({ mtime }) => ({
        name,
        age: mtime._tag === "Some" ? mtime.value.getTime() : 0
      }))
    )
    const old = aged.toSorted((left, right) => left.age - right.age).slice(0, names.length - maxReceipts)
    yield* Effect.forEach(old, ({ name }) => fs.remove(path.join(folder, name)), { discard: true })
  },
  (effect) => Effect.ignore(effect)
)

/** Stores a receipt. A failure is ignored: uninstalling then removes our handlers without restoring every byte. */
export const save = Effect.fnUntraced(
  function* (home: string, receipt: Receipt) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const file = yield* place(home, receipt.file)
    yield* makeFolders(path.dirname(file), 0o700)
    const draft = `${file}.${process.pid}-${yield* Clock.currentTimeNanos}`
    yield* fs.writeFileString(draft, yield* Schema.encodeEffect(codec)(receipt), { mode: 0o600 })
    yield* fs.rename(draft, file)
    yield* prune(path.dirname(file))
  },
  (effect) => Effect.ignore(effect)
)

export const forget = Effect.fnUntraced(
  function* (home: string, file: string) {
    const fs = yield* FileSystem.FileSystem
    yield* fs.remove(yield* place(home, file), { force: true })
  },
  (effect) => Effect.ignore(effect)
)
