/**
 * Puts hooks into the settings of an agent, and takes them out again.
 *
 * Everything else in the file stays as it is, byte for byte: comments, order, blanks, ends of lines, the hooks of others.
 * What is ours is known by its mark, so to install twice is to install once, another version is brought up to date in
 * its place, and taking out takes ours alone. Where the file is as it was left, taking out gives back exactly the bytes
 * that were there before.
 *
 * A file is replaced as a whole, follows its links, keeps its mode, and is written only if nobody else has written it
 * meanwhile; what it was before is kept beside it, three times at most, for its owner alone, without our own token. A file
 * that gets a secret is closed to other users for as long as it holds it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as Path from "effect/Path"
import * as Result from "effect/Result"
import * as TextDiff from "effect/TextDiff"
import type { Agent, HookCommand } from "./Agents.ts"
import { InstallError, InvalidSettings } from "./InstallError.ts"
import * as Backups from "./internal/backups.ts"
import * as Edit from "./internal/textEdit.ts"
import type { Change, Found } from "./internal/settingsFormat.ts"
import type { Problem } from "./internal/syntaxProblem.ts"
import * as Receipts from "./internal/receipts.ts"
import * as SettingsFile from "./internal/settingsFile.ts"
import * as Wiring from "./Wiring.ts"

/**
 * Whose settings, and which of them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Target {
  readonly agent: Agent
  /** The settings file, as a full path. It need not exist. */
  readonly file: string
  /** The mode of a file that has to be made, for example `0o600`. */
  readonly newMode: number
  /** The folder that links must not lead out of, for settings that others have written; anywhere when absent. */
  readonly within?: string | undefined
  /** Where it is remembered how to take an installation back exactly: the folder of the memory. */
  readonly home: string
}

/**
 * What is to be done to one file. Nothing has been done yet.
 *
 * @category models
 * @since 0.1.0
 */
export interface Plan {
  readonly target: Target
  readonly kind: "create" | "change" | "delete" | "nothing"
  /** As a unified diff, in which every token is `***`; empty where no text changes. */
  readonly diff: string
  /** The mode that the file has, if there is one, and the one that it gets. */
  readonly mode: { readonly before: number | undefined; readonly after: number }
  /** @internal */
  readonly snapshot: SettingsFile.Snapshot
  /** @internal */
  readonly after: string | undefined
  /** @internal */
  readonly receipt: Receipts.Receipt | undefined
}

/**
 * What was done to one file.
 *
 * @category models
 * @since 0.1.0
 */
export interface Done {
  readonly plan: Plan
  /** What the file was before, if it was, with `***` in the place of our own token. */
  readonly backup: string | undefined
}

/** How often a change is planned anew because another program has written the file. */
const maxAttempts = 5

type Files = FileSystem.FileSystem | Path.Path

const invalid =
  (file: string) =>
  ({ column, detail, line }: Problem): InstallError =>
    new InstallError({ reason: new InvalidSettings({ file, detail, line, column }) })

const fromResult = <A>(target: Target, result: Result.Result<A, Problem>): Effect.Effect<A, InstallError> =>
  Effect.mapError(Effect.fromResult(result), invalid(target.file))

/** What is left of a mode where nobody but the owner may do anything. Windows keeps no such modes. */
const closed = (mode: number): number => (process.platform === "win32" ? mode : mode & 0o7700)

/** The mode that a file had before it was closed; the one that it has, where somebody has set another one since. */
const reopened = (mode: number, receipt: Receipts.Receipt | undefined): number =>
  receipt?.mode !== undefined && mode === closed(receipt.mode) ? receipt.mode : mode

const planOf = (
  target: Target,
  snapshot: SettingsFile.Snapshot,
  after: string | undefined,
  receipt: Receipts.Receipt | undefined,
  mode = snapshot.content?.mode ?? target.newMode
): Plan => {
  const before = snapshot.content?.text
  const isSame = before === after && (before === undefined || snapshot.content?.mode === mode)
  const kind = isSame ? "nothing" : before === undefined ? "create" : after === undefined ? "delete" : "change"
  const names = {
    fromFile: before === undefined ? "/dev/null" : target.file,
    toFile: after === undefined ? "/dev/null" : target.file
  }
  const diff = Wiring.masked(TextDiff.unified(TextDiff.lines(before ?? "", after ?? ""), names))
  return { target, kind, diff, mode: { before: snapshot.content?.mode, after: mode }, snapshot, after, receipt }
}

/** What leads from the text after some changes back to the text before them. */
const undoOf = (before: string, steps: Change["steps"]): ReadonlyArray<ReadonlyArray<Edit.Edit>> => {
  const undo: Array<ReadonlyArray<Edit.Edit>> = []
  let text = before
  for (const edits of steps) {
    undo.unshift(Edit.invert(text, edits))
    text = Edit.apply(text, edits)
  }
  return undo
}

/** The text as it was before our last installation, if nobody has changed it since. */
const restored = (text: string, receipt: Receipts.Receipt | undefined): string | undefined =>
  receipt?.digest === Receipts.digest(text) ? receipt.undo.reduce<string>(Edit.apply, text) : undefined

/**
 * Fails with `NotAccessible` where a settings file is there and can't be changed; for those who have something to make
 * before they install.
 *
 * @category accessors
 * @since 0.1.0
 */
export const checkWritable = ({ file, within }: Target): Effect.Effect<void, InstallError, Files> =>
  Effect.flatMap(SettingsFile.read(file, within), SettingsFile.checkWritable)

/**
 * Plans to put hooks into a settings file, to bring them up to date, or nothing, if they are.
 *
 * Fails with `InvalidSettings` where the file is not valid, with the line, `NotAccessible` where it can't be read, and
 * `OutsideProject` where its links lead out of `within`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const planInstall = Effect.fnUntraced(function* (
  target: Target,
  wiring: Wiring.Wiring
): Effect.fn.Return<Plan, InstallError, Files> {
  const snapshot = yield* SettingsFile.read(target.file, target.within)
  const present = snapshot.content?.text ?? ""
  const installed = yield* fromResult(target, target.agent.text.found(present))
  // A receipt without the hooks that it is for is of a file that is gone.
  const known = installed.length === 0 ? undefined : yield* Receipts.find(target.home, target.file)
  const untouched = restored(present, known)
  const before = untouched ?? present
  const change = yield* fromResult(
    target,
    target.agent.text.install(before, wiring, untouched === undefined ? known?.kept : undefined)
  )
  // Without knowing what was there before ours, it can only be said how ours are taken out.
  const ours = yield* fromResult(target, target.agent.text.found(before))
  const undo =
    ours.length === 0
      ? undoOf(before, change.steps)
      : (yield* fromResult(target, target.agent.text.uninstall(change.text, change.kept))).steps
  const mode = snapshot.content?.mode ?? target.newMode
  const hasSecret = Wiring.hasSecret(wiring)
  const receipt = {
    file: target.file,
    digest: Receipts.digest(change.text),
    undo,
    kept: change.kept,
    created: snapshot.content === undefined || known?.created === true,
    folders: known?.folders ?? [],
    mode: !hasSecret ? undefined : mode === closed(mode) ? known?.mode : mode
  }
  return planOf(target, snapshot, change.text, receipt, hasSecret ? closed(mode) : reopened(mode, known))
})

/**
 * Plans to take hooks out of a settings file; nothing, where it has none of ours. A file that was made for them, and has
 * nothing else by now, is removed.
 *
 * Fails as `planInstall` does.
 *
 * @category constructors
 * @since 0.1.0
 */
export const planUninstall = Effect.fnUntraced(function* (target: Target): Effect.fn.Return<Plan, InstallError, Files> {
  const snapshot = yield* SettingsFile.read(target.file, target.within)
  const known = yield* Receipts.find(target.home, target.file)
  const text = snapshot.content?.text
  if (text === undefined) return planOf(target, snapshot, undefined, known)
  const ours = yield* fromResult(target, target.agent.text.found(text))
  if (ours.length === 0) return planOf(target, snapshot, text, known)
  const change = yield* fromResult(target, target.agent.text.uninstall(text, known?.kept ?? []))
  const after = restored(text, known) ?? change.text
  const isLeftOver = known?.created === true && target.agent.text.isBlank(after)
  const mode = reopened(snapshot.content?.mode ?? target.newMode, known)
  return planOf(target, snapshot, isLeftOver ? undefined : after, known, mode)
})

const write = Effect.fnUntraced(function* (
  { after, mode, receipt, snapshot, target }: Plan,
  as: "install" | "uninstall"
) {
  if (after === undefined) return yield* SettingsFile.remove(snapshot, receipt?.folders ?? [])
  const folderMode = target.newMode === 0o600 ? 0o700 : 0o755
  const folders = yield* SettingsFile.replace(snapshot, after, { mode: mode.after, folderMode })
  if (as === "uninstall" || receipt === undefined) return
  yield* Receipts.save(target.home, { ...receipt, folders: [...folders, ...receipt.folders] })
})

/** Backups stay for long, and may lie where others read them; whoever puts one back installs again. */
const withoutToken =
  ({ agent }: Target) =>
  (text: string): string =>
    Wiring.maskedOf(
      Result.getOrElse(agent.text.found(text), () => []),
      text
    )

/**
 * Does what was planned.
 *
 * Fails with `ChangedMeanwhile` where the file is not what it was when it was planned, and `NotAccessible` where it can't
 * be written.
 *
 * @category combinators
 * @since 0.1.0
 */
export const apply = Effect.fnUntraced(function* (
  plan: Plan,
  as: "install" | "uninstall"
): Effect.fn.Return<Done, InstallError, Files> {
  const { kind, snapshot, target } = plan
  if (kind === "nothing") return { plan, backup: undefined }
  yield* SettingsFile.checkWritable(snapshot)
  const backup = yield* kind === "change"
    ? Backups.around(snapshot, withoutToken(target), write(plan, as))
    : Effect.as(write(plan, as), undefined)
  if (as === "uninstall") yield* Receipts.forget(target.home, target.file)
  return { plan, backup }
})

const untilUnchanged = <R>(attempt: Effect.Effect<Done, InstallError, R>): Effect.Effect<Done, InstallError, R> =>
  Effect.retry(attempt, { times: maxAttempts - 1, while: ({ reason }) => reason._tag === "ChangedMeanwhile" })

/**
 * Puts hooks into a settings file, or brings them up to date.
 *
 * Fails with `InstallError`: `InvalidSettings`, `NotAccessible`, or `ChangedMeanwhile` where another program wrote the
 * file during each of five attempts.
 *
 * **Example**
 *
 * ```ts
 * import * as Agents from "athena-hooks/install/Agents"
 * import * as Installer from "athena-hooks/install/Installer"
 *
 * const command = { node: process.execPath, script: "/opt/athena-hooks/dist/cli/bin.js", version: "0.1.0" }
 *
 * const program = Installer.install(
 *   {
 *     agent: Agents.claude,
 *     file: "/home/ada/.claude/settings.json",
 *     newMode: 0o600,
 *     home: "/home/ada/.athena"
 *   },
 *   Agents.claude.wiring(command)
 * )
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const install = (target: Target, wiring: Wiring.Wiring): Effect.Effect<Done, InstallError, Files> =>
  untilUnchanged(Effect.flatMap(planInstall(target, wiring), (plan) => apply(plan, "install")))

/**
 * Takes our hooks out of a settings file, and nothing else. Fails as `install` does.
 *
 * @category combinators
 * @since 0.1.0
 */
export const uninstall = (target: Target): Effect.Effect<Done, InstallError, Files> =>
  untilUnchanged(Effect.flatMap(planUninstall(target), (plan) => apply(plan, "uninstall")))

/**
 * The settings files of any agent, profile and project that hooks were put into by the memory of a home, and have not been
 * taken out of since.
 *
 * @category accessors
 * @since 0.1.0
 */
export const installedFiles = (home: string): Effect.Effect<ReadonlyArray<string>, never, Files> => Receipts.files(home)

/**
 * What is installed in one settings file.
 *
 * @category models
 * @since 0.1.0
 */
export interface Inspection {
  /** The events that have a handler of ours. */
  readonly events: ReadonlyArray<string>
  /** Those that have none, or fewer than they should. */
  readonly missing: ReadonlyArray<string>
  /** Those whose handler is not what would be installed now: of another version, or with another path. */
  readonly outdated: ReadonlyArray<string>
  /** The versions that installed them; none where their handlers are the same for all. */
  readonly versions: ReadonlyArray<string>
  /** What the file says that keeps hooks from running. */
  readonly switches: ReadonlyArray<string>
  readonly comments: boolean
  /** The events at which `athena hook` is also called by hand. */
  readonly byHand: ReadonlyArray<string>
  /** The handlers as they stand. */
  readonly handlers: ReadonlyArray<Wiring.Wire>
}

const unique = (names: ReadonlyArray<string>): ReadonlyArray<string> => [...new Set(names)]

const count = (wires: ReadonlyArray<Found>, event: string): number =>
  wires.filter((wire) => wire.event === event).length

const isAsWanted = (wiring: Wiring.Wiring, { event, handler }: Found): boolean =>
  wiring.some((wire) => wire.event === event && Wiring.isSame(handler, wire.handler))

/**
 * Looks at what is installed in a settings file, beside what would be. Fails as `planInstall` does.
 *
 * @category accessors
 * @since 0.1.0
 */
export const inspect = Effect.fnUntraced(function* (
  target: Target,
  command: HookCommand
): Effect.fn.Return<Inspection, InstallError, Files> {
  const { content } = yield* SettingsFile.read(target.file, target.within)
  const text = content?.text ?? ""
  const handlers = yield* fromResult(target, target.agent.text.found(text))
  const { comments, value } = yield* fromResult(target, target.agent.text.value(text))
  const wiring = target.agent.wiring(command)
  const events = unique(handlers.map(({ event }) => event))
  return {
    events,
    missing: unique(wiring.map(({ event }) => event)).filter((event) => count(handlers, event) < count(wiring, event)),
    outdated: unique(handlers.filter((found) => !isAsWanted(wiring, found)).map(({ event }) => event)),
    versions: unique(handlers.flatMap(({ handler }) => Wiring.installedBy(handler) ?? [])).filter(
      (version) => version !== Wiring.anyVersion
    ),
    switches: target.agent.switches(value),
    comments,
    byHand: Wiring.byHand(value),
    handlers
  }
})
