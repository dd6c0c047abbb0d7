/**
 * Adds hooks to the settings of an agent, and removes them.
 *
 * Everything else in the file is preserved byte for byte: comments, order, whitespace, line endings, hooks of others. A
 * marker identifies our handlers, so installing is idempotent, an upgrade replaces handlers in place, and uninstalling
 * removes only our handlers. If the file has not changed since, uninstalling restores exactly the previous bytes.
 *
 * **Gotchas**
 *
 * A file is replaced atomically, through symbolic links, with its mode, and only if no other program has changed it. Up
 * to three backups remain beside it, readable only by the owner and without our token. While a file contains a token,
 * other users can't read it.
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
 * The settings file to change.
 *
 * @category models
 * @since 0.1.0
 */
export interface Target {
  readonly agent: Agent
  /** The absolute path of the settings file. It need not exist. */
  readonly file: string
  /** The mode of a new file, for example `0o600`. */
  readonly newMode: number
  /**
   * The folder that symbolic links must not leave, for settings that others have written. No restriction when absent.
   */
  readonly within?: string | undefined
  /** The home, which stores the receipts that make an exact uninstall possible. */
  readonly home: string
}

/**
 * A planned change of one file. Planning changes nothing.
 *
 * @category models
 * @since 0.1.0
 */
export interface Plan {
  readonly target: Target
  readonly kind: "create" | "change" | "delete" | "nothing"
  /** A unified diff in which every token is `***`. Empty if the text does not change. */
  readonly diff: string
  /** The current mode, if the file exists, and the mode after the change. */
  readonly mode: { readonly before: number | undefined; readonly after: number }
  /** @internal */
  readonly snapshot: SettingsFile.Snapshot
  /** @internal */
  readonly after: string | undefined
  /** @internal */
  readonly receipt: Receipts.Receipt | undefined
}

/**
 * An applied change of one file.
 *
 * @category models
 * @since 0.1.0
 */
export interface Done {
  readonly plan: Plan
  /** The path of the backup, if the file existed. Our own token is `***` in it. */
  readonly backup: string | undefined
}

/** The maximum number of attempts while another program writes the file. */
const maxAttempts = 5

type Files = FileSystem.FileSystem | Path.Path

const invalid =
  (file: string) =>
  ({ column, detail, line }: Problem): InstallError =>
    new InstallError({ reason: new InvalidSettings({ file, detail, line, column }) })

const fromResult = <A>(target: Target, result: Result.Result<A, Problem>): Effect.Effect<A, InstallError> =>
  Effect.mapError(Effect.fromResult(result), invalid(target.file))

/** Removes all access of other users from a mode. Windows has no such modes. */
const closed = (mode: number): number => (process.platform === "win32" ? mode : mode & 0o7700)

/** Returns the mode before the file was closed, unless the mode has changed since. */
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

/** Returns the inverse edits of several steps, in reverse order. */
const undoOf = (before: string, steps: Change["steps"]): ReadonlyArray<ReadonlyArray<Edit.Edit>> => {
  const undo: Array<ReadonlyArray<Edit.Edit>> = []
  let text = before
  for (const edits of steps) {
    undo.unshift(Edit.invert(text, edits))
    text = Edit.apply(text, edits)
  }
  return undo
}

/** Returns the text before the last installation if the file has not changed since. */
const restored = (text: string, receipt: Receipts.Receipt | undefined): string | undefined =>
  receipt?.digest === Receipts.digest(text) ? receipt.undo.reduce<string>(Edit.apply, text) : undefined

/**
 * Fails with `NotAccessible` if an existing settings file is not writable. Use it before creating anything that the
 * installation needs.
 *
 * @category accessors
 * @since 0.1.0
 */
export const checkWritable = ({ file, within }: Target): Effect.Effect<void, InstallError, Files> =>
  Effect.flatMap(SettingsFile.read(file, within), SettingsFile.checkWritable)

/**
 * Plans to add hooks to a settings file or to update them.
 *
 * Fails with `InvalidSettings` if the file is invalid, with the line; with `NotAccessible` if it can't be read; and
 * with `OutsideProject` if its symbolic links leave `within`.
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
  // A receipt without installed hooks belongs to a file that has been replaced.
  const known = installed.length === 0 ? undefined : yield* Receipts.find(target.home, target.file)
  const untouched = restored(present, known)
  const before = untouched ?? present
  const change = yield* fromResult(
    target,
    target.agent.text.install(before, wiring, untouched === undefined ? known?.existing : undefined)
  )
  // Without a receipt the previous bytes are unknown; the undo then only removes our handlers.
  const ours = yield* fromResult(target, target.agent.text.found(before))
  const undo =
    ours.length === 0
      ? undoOf(before, change.steps)
      : (yield* fromResult(target, target.agent.text.uninstall(change.text, change.existing))).steps
  const mode = snapshot.content?.mode ?? target.newMode
  const hasSecret = Wiring.hasSecret(wiring)
  const receipt = {
    file: target.file,
    digest: Receipts.digest(change.text),
    undo,
    existing: change.existing,
    created: snapshot.content === undefined || known?.created === true,
    folders: known?.folders ?? [],
    mode: !hasSecret ? undefined : mode === closed(mode) ? known?.mode : mode
  }
  return planOf(target, snapshot, change.text, receipt, hasSecret ? closed(mode) : reopened(mode, known))
})

/**
 * Plans to remove our hooks from a settings file. A file that the installation created is deleted if nothing else is in
 * it.
 *
 * Fails like `planInstall`.
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
  const change = yield* fromResult(target, target.agent.text.uninstall(text, known?.existing ?? []))
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

/** Backups persist and may have weaker protection, so they contain no token. Install again after restoring one. */
const withoutToken =
  ({ agent }: Target) =>
  (text: string): string =>
    Wiring.maskedOf(
      Result.getOrElse(agent.text.found(text), () => []),
      text
    )

/**
 * Applies a plan.
 *
 * Fails with `ChangedMeanwhile` if the file has changed since planning, and with `NotAccessible` if it can't be
 * written.
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
 * Adds hooks to a settings file, or updates them.
 *
 * Fails with `InstallError`: `InvalidSettings`, `NotAccessible`, `OutsideProject`, or `ChangedMeanwhile` if another
 * program wrote the file during each of five attempts.
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
 * Removes our hooks from a settings file, and nothing else. Fails like `install`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const uninstall = (target: Target): Effect.Effect<Done, InstallError, Files> =>
  untilUnchanged(Effect.flatMap(planUninstall(target), (plan) => apply(plan, "uninstall")))

/**
 * Returns the settings files of all agents, profiles and projects in which this home has installed hooks.
 *
 * @category accessors
 * @since 0.1.0
 */
export const installedFiles = (home: string): Effect.Effect<ReadonlyArray<string>, never, Files> => Receipts.files(home)

/**
 * The installed hooks of one settings file.
 *
 * @category models
 * @since 0.1.0
 */
export interface Inspection {
  /** The events with a handler of ours. */
  readonly events: ReadonlyArray<string>
  /** The events that lack a handler. */
  readonly missing: ReadonlyArray<string>
  /** The events whose handler differs from the one that would be installed now, for example in version or path. */
  readonly outdated: ReadonlyArray<string>
  /** The versions that installed the handlers. Handlers without a version are not counted. */
  readonly versions: ReadonlyArray<string>
  /** The switches in the file that disable hooks. */
  readonly switches: ReadonlyArray<string>
  readonly comments: boolean
  /** The events for which the user has configured `athena hook` manually. */
  readonly byHand: ReadonlyArray<string>
  /** The installed handlers. */
  readonly handlers: ReadonlyArray<Wiring.Wire>
}

const unique = (names: ReadonlyArray<string>): ReadonlyArray<string> => [...new Set(names)]

const count = (wires: ReadonlyArray<Found>, event: string): number =>
  wires.filter((wire) => wire.event === event).length

const isAsWanted = (wiring: Wiring.Wiring, { event, handler }: Found): boolean =>
  wiring.some((wire) => wire.event === event && Wiring.isSame(handler, wire.handler))

/**
 * Compares the installed hooks of a settings file with those that would be installed now. Fails like `planInstall`.
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
