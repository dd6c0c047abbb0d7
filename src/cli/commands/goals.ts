/**
 * `athena goals`: the goals of the current project.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as ContextText from "../../hooks/ContextText.ts"
import { type Goal, type Goals, GoalStatus, make as makeGoal } from "../../memory/Goal.ts"
import { MemoryBridge } from "../../memory/MemoryBridge.ts"
import * as Memory from "../../host/Memory.ts"
import * as Output from "../output.ts"

const line = (goal: Goal): string => `${String(goal.id).padStart(6)} ${ContextText.goalLine(goal)}`

const none: Goals = { count: 0, goals: [] }

const add = Command.make(
  "add",
  {
    title: Argument.String("title").pipe(Argument.withDescription("Title of the goal"), Argument.atLeast(1)),
    priority: Flag.Int("priority").pipe(
      Flag.withDescription("Priority from 1 to 10, 10 is the highest"),
      Flag.withDefault(5)
    ),
    json: Output.json
  },
  Effect.fnUntraced(function* ({ json, priority, title }) {
    const memory = yield* MemoryBridge
    const project = yield* Memory.currentProject
    const goal = yield* memory.addGoal(makeGoal({ projectId: project.id, title: title.join(" "), priority }))
    yield* Output.print(json, goal, [line(goal)])
  })
).pipe(
  Command.withDescription("Add a goal, which the agent receives at the next session start"),
  Command.provide(Memory.layer)
)

const set = Command.make(
  "set",
  {
    id: Argument.Int("id").pipe(Argument.withDescription("Id of the goal")),
    status: Argument.Literals("status", GoalStatus.literals).pipe(Argument.withDescription("New status")),
    json: Output.json
  },
  Effect.fnUntraced(function* ({ id, json, status }) {
    const memory = yield* MemoryBridge
    const project = yield* Memory.currentProject
    const goal = yield* memory.setGoalStatus(project.id, id, status)
    yield* Output.print(json, goal, [line(goal)])
  })
).pipe(Command.withDescription("Set the status of a goal"), Command.provide(Memory.layer))

const edit = Command.make(
  "edit",
  {
    id: Argument.Int("id").pipe(Argument.withDescription("Id of the goal")),
    title: Argument.String("title").pipe(Argument.withDescription("New title"), Argument.variadic()),
    priority: Flag.Int("priority").pipe(Flag.withDescription("New priority from 1 to 10"), Flag.optional),
    json: Output.json
  },
  Effect.fnUntraced(function* ({ id, json, priority, title }) {
    const memory = yield* MemoryBridge
    const project = yield* Memory.currentProject
    const goal = yield* memory.editGoal(project.id, id, {
      title: title.length === 0 ? undefined : title.join(" "),
      priority: Option.getOrUndefined(priority)
    })
    yield* Output.print(json, goal, [line(goal)])
  })
).pipe(Command.withDescription("Change the title or the priority of a goal"), Command.provide(Memory.layer))

const remove = Command.make(
  "delete",
  { id: Argument.Int("id").pipe(Argument.withDescription("Id of the goal")), json: Output.json },
  Effect.fnUntraced(function* ({ id, json }) {
    const memory = yield* MemoryBridge
    const project = yield* Memory.currentProject
    yield* memory.deleteGoal(project.id, id)
    yield* Output.print(json, { deleted: id }, [`goal ${id} deleted`])
  })
).pipe(Command.withDescription("Delete a goal"), Command.provide(Memory.layer))

export const goals = Command.make(
  "goals",
  {
    all: Flag.Boolean("all").pipe(Flag.withDescription("Include goals of any status"), Flag.withDefault(false)),
    json: Output.json
  },
  Effect.fnUntraced(function* ({ all, json }) {
    const { list, name } = yield* Memory.readCurrentProject(
      ({ id, name }, memory) =>
        Effect.map(memory.listGoals(id, all ? [] : ["active", "in_progress"]), (list) => ({ list, name })),
      (name) => ({ list: none, name })
    )
    yield* Output.print(
      json,
      list,
      list.count === 0 ? [`the project ${name} has no goals: athena goals add "..."`] : list.goals.map(line)
    )
  })
).pipe(
  Command.withDescription("List, add, edit and delete the goals of the current project"),
  Command.withSubcommands([add, set, edit, remove])
)
