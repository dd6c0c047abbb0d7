/**
 * The memory with verbs that take plain text, which they put through the redactor.
 */
import * as Effect from "effect/Effect"
import * as Goal from "../../src/memory/Goal.ts"
import { MemoryBridge } from "../../src/memory/MemoryBridge.ts"
import * as MemoryEvent from "../../src/memory/MemoryEvent.ts"
import * as Project from "../../src/memory/Project.ts"
import * as Session from "../../src/memory/Session.ts"

export const PlainMemory = Effect.map(MemoryBridge, (memory) => ({
  ...memory,
  recordEvent: (event: MemoryEvent.Input) => memory.recordEvent(MemoryEvent.make(event)),
  recordEvents: (events: ReadonlyArray<MemoryEvent.Input>) =>
    memory.recordEvents(events.map((event) => MemoryEvent.make(event))),
  ensureProject: (location: Project.Input) => memory.ensureProject(Project.make(location)),
  checkProject: (location: Project.Input) => memory.checkProject(Project.make(location)),
  relocateProject: (location: Project.Input) => memory.relocateProject(Project.make(location)),
  moveProject: (id: number, location: Project.Input) => memory.moveProject(id, Project.make(location)),
  openSession: (session: Parameters<typeof Session.make>[0]) => memory.openSession(Session.make(session)),
  addGoal: (goal: Parameters<typeof Goal.make>[0]) => memory.addGoal(Goal.make(goal))
}))
