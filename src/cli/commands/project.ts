/**
 * `athena project`: lists, moves and merges projects.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Prompt from "effect/cli/Prompt"
import * as Repository from "../../hooks/Repository.ts"
import { MemoryBridge } from "../../memory/MemoryBridge.ts"
import * as Project from "../../memory/Project.ts"
import * as Database from "../../sql/Database.ts"
import * as Memory from "../../host/Memory.ts"
import * as Output from "../output.ts"
import { fail, flags } from "../selection.ts"
import { workingFolder } from "../../host/environment.ts"

interface Listed extends Project.ProjectSummary {
  /** Whether the folder does not exist on this host. */
  readonly missing: boolean
}

/** Quotes a path, so that it occupies one line. */
const quoted = (path: string): string => JSON.stringify(path)

const linesOf = ({ events, goals, id, lastActivity, missing, name, path }: Listed): ReadonlyArray<string> => [
  `${String(id).padStart(6)} ${quoted(name)}  ${quoted(path)}${missing ? "  MISSING" : ""}`,
  `${" ".repeat(6)} ${events} events, ${goals} goals, ${lastActivity === null ? "no event yet" : `last active ${DateTime.formatIso(lastActivity)}`}`
]

const encode = ({ lastActivity, ...rest }: Listed) => ({
  ...rest,
  lastActivity: lastActivity === null ? null : DateTime.formatIso(lastActivity)
})

const all = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const memory = yield* MemoryBridge
  return yield* Effect.forEach(yield* memory.listProjects, (project) =>
    Effect.map(
      Effect.orElseSucceed(fs.exists(project.path), () => false),
      (exists): Listed => ({ ...project, missing: !exists })
    )
  )
})

/** Lists the projects without creating a database. */
const listed = Effect.gen(function* () {
  if (!(yield* Memory.exists(yield* Database.settings))) return []
  return yield* Effect.provide(all, Memory.layer)
})

/** Resolves a path against the working directory. */
const absolute = Effect.fnUntraced(function* (text: string) {
  const path = yield* Path.Path
  return path.isAbsolute(text) ? path.resolve(text) : path.resolve(yield* workingFolder, text)
})

/** Finds a project by its id or path. */
const named = Effect.fnUntraced(function* (projects: ReadonlyArray<Listed>, text: string) {
  const place = yield* absolute(text)
  const found = projects.filter(({ id, path }) => path === text || path === place || String(id) === text)
  const [first, second] = found
  if (first === undefined) return yield* fail(`there is no project ${quoted(text)}: run athena project list`)
  if (second !== undefined) return yield* fail(`${quoted(text)} is the number of one project and the path of another`)
  return first
})

const { dryRun, yes } = flags

/** Prompts for confirmation. Without a terminal, `--yes` is required. */
const confirm = (message: string, isSure: boolean) =>
  Effect.gen(function* () {
    if (isSure) return
    if (!process.stdin.isTTY || !process.stdout.isTTY)
      return yield* fail(`${message} To confirm without a terminal, add --yes`)
    if (!(yield* Prompt.run(Prompt.Confirm({ message })))) return yield* fail("nothing was changed")
  })

const list = Command.make(
  "list",
  { json: Output.json },
  Effect.fnUntraced(function* ({ json }) {
    const projects = yield* listed
    yield* Output.print(
      json,
      projects.map(encode),
      projects.length === 0 ? ["no projects yet"] : projects.flatMap(linesOf)
    )
  })
).pipe(Command.withDescription("List the projects with their contents, and mark missing folders"))

/** Resolves the target of a move: the repository at the path, or the path itself if it does not exist yet. */
const destination = Effect.fnUntraced(function* (text: string) {
  const path = yield* Path.Path
  const place = yield* absolute(text)
  const unseen = { path: place, name: path.basename(place) || place }
  return yield* Repository.find(place).pipe(
    Effect.map(({ project }) => project),
    Effect.catchTag("FolderNotFound", () => Effect.succeed<Project.Input>(unseen)),
    Effect.map(Project.make)
  )
})

const move = Command.make(
  "move",
  {
    project: Argument.String("project").pipe(Argument.withDescription("Id or path of the project")),
    to: Argument.String("to").pipe(Argument.withDescription("New path")),
    yes,
    dryRun,
    json: Output.json
  },
  Effect.fnUntraced(function* ({ dryRun, json, project, to, yes }) {
    const projects = yield* listed
    const found = yield* named(projects, project)
    const location = yield* destination(to)
    const taken = projects.find(({ id, path }) => path === location.path && id !== found.id)
    if (taken !== undefined) {
      return yield* fail(
        `the project ${taken.id} has that path: run athena project merge ${found.id} ${taken.id}, or the other way round`
      )
    }
    const change = { project: encode(found), to: location.path }
    if (dryRun) {
      return yield* Output.print(json, { dryRun, ...change }, [
        `would move the project ${found.id} from ${quoted(found.path)} to ${quoted(location.path)}`
      ])
    }
    yield* confirm(`Move the project ${found.id} from ${quoted(found.path)} to ${quoted(location.path)}?`, yes)
    const moved = yield* MemoryBridge.use((memory) => memory.moveProject(found.id, location)).pipe(
      Effect.provide(Memory.layer)
    )
    yield* Output.print(json, { dryRun, ...moved }, [
      `the project ${moved.id} is ${quoted(moved.name)} in ${quoted(moved.path)}`
    ])
  })
).pipe(Command.withDescription("Change the path of a project after its folder has moved"))

const merge = Command.make(
  "merge",
  {
    from: Argument.String("from").pipe(Argument.withDescription("Id or path of the source, which is deleted")),
    into: Argument.String("into").pipe(Argument.withDescription("Id or path of the target")),
    yes,
    dryRun,
    json: Output.json
  },
  Effect.fnUntraced(function* ({ dryRun, from, into, json, yes }) {
    const projects = yield* listed
    const [ending, staying] = [yield* named(projects, from), yield* named(projects, into)]
    if (ending.id === staying.id) return yield* fail("both arguments name the same project")
    const what = `${ending.events} events, ${ending.goals} goals and ${ending.sessions} sessions of ${quoted(ending.path)}`
    if (dryRun) {
      return yield* Output.print(json, { dryRun, from: encode(ending), into: encode(staying) }, [
        `would move ${what} to ${quoted(staying.path)} and delete the project ${ending.id}`
      ])
    }
    yield* confirm(`Move ${what} to ${quoted(staying.path)}? This can't be undone.`, yes)
    const merged = yield* MemoryBridge.use((memory) => memory.mergeProjects(ending.id, staying.id)).pipe(
      Effect.provide(Memory.layer)
    )
    yield* Output.print(json, { dryRun, ...merged }, [
      `moved ${merged.events} events, ${merged.goals} goals and ${merged.sessions} sessions into ${quoted(staying.path)}`,
      ...(ending.missing ? [] : [`a session in ${quoted(ending.path)} starts a new project`])
    ])
  })
).pipe(Command.withDescription("Move the contents of one project into another"))

export const project = Command.make("project").pipe(
  Command.withDescription("List, move and merge projects"),
  Command.withSubcommands([list, move, merge])
)
