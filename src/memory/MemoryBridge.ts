/**
 * The memory of an agent, as a service.
 *
 * `MemoryBridge` translates the verbs of the domain into queries and mutations, which the `QueryExecutor` runs. Every
 * verb fails with `MemoryError` only.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as SqlClient from "effect/sql/SqlClient"
import type { QueryError } from "../query/Query.ts"
import * as QueryExecutor from "../query/QueryExecutor.ts"
import type { Goal, GoalChanges, Goals, GoalStatus, NewGoal } from "./Goal.ts"
import type { Fact, FactKind } from "./facts/Fact.ts"
import type { SessionDigest } from "./facts/SessionDigest.ts"
import type { ActiveMemories, MemoryEntry, Note, SearchResult, SessionSummary } from "./Memory.ts"
import * as MemoryError from "./MemoryError.ts"
import { type MemoryEvent, redactContent, type RecordedEvent, stamp } from "./MemoryEvent.ts"
import * as MemorySchema from "./MemorySchema.ts"
import type { MergedProjects, Project, ProjectLocation, ProjectStanding, ProjectSummary } from "./Project.ts"
import * as ActiveMemoriesQuery from "./queries/ActiveMemories.ts"
import * as Curation from "./queries/Curation.ts"
import * as DigestQueries from "./queries/Digests.ts"
import * as EventQueries from "./queries/Events.ts"
import * as FactQueries from "./queries/Facts.ts"
import * as GoalQueries from "./queries/Goals.ts"
import * as ProjectMoves from "./queries/ProjectMoves.ts"
import * as ProjectQueries from "./queries/Projects.ts"
import * as SearchQuery from "./queries/Search.ts"
import * as SessionQueries from "./queries/Sessions.ts"
import { storable } from "../internal/text.ts"
import * as Redaction from "../redaction/Redaction.ts"
import { idOf, type NewSession, type Session } from "./Session.ts"

/**
 * Options of `getActiveMemories`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ActiveMemoriesOptions {
  /** From 1 to 100; default: 7. */
  readonly limit?: number | undefined
  /** The worktree whose memories rank higher. */
  readonly worktreePath?: string | undefined
  /** A session whose own events are excluded. */
  readonly exceptSession?: string | undefined
}

/**
 * Options of `listFacts`.
 *
 * @category models
 * @since 0.1.0
 */
export interface FactsOptions {
  /** All kinds when absent. */
  readonly kinds?: ReadonlyArray<FactKind> | undefined
  /** Whether to include ended facts, and candidates with too little evidence. Default: `false`. */
  readonly all?: boolean | undefined
  /** From 1 to 2,000; default: 500. */
  readonly limit?: number | undefined
}

/**
 * Options of `getActiveGoals` and `listGoals`.
 *
 * @category models
 * @since 0.1.0
 */
export interface GoalsOptions {
  /** From 1 to 100; default: 5 for active goals, 100 for a list. */
  readonly limit?: number | undefined
}

/**
 * Options of `searchMemories`.
 *
 * @category models
 * @since 0.1.0
 */
export interface SearchOptions {
  /** From 1 to 100; default: 5. */
  readonly limit?: number | undefined
  /**
   * Whether to search for frequent terms, for terms that the best results share, and, in the newest 50,000 memories, for
   * parts of words as well. Default: `true`; hooks use `false`, because they need few relevant results quickly.
   */
  readonly fragments?: boolean | undefined
  /** A session whose own events are excluded. */
  readonly exceptSession?: string | undefined
  /** Events before this time are excluded. */
  readonly since?: DateTime.Utc | undefined
  /** The types of the events that must match. All types when absent. */
  readonly types?: ReadonlyArray<string> | undefined
}

/**
 * Conditions of `findMemories` and `listMemories`. A memory must fulfil all of them.
 *
 * @category models
 * @since 0.1.0
 */
export interface MemoryConditions {
  /** An event type, for example `note`. */
  readonly type?: string | undefined
  readonly sessionId?: string | undefined
  /** The earliest time. */
  readonly since?: DateTime.Utc | undefined
  /** A text that the content contains, whatever the case of ASCII letters. */
  readonly containing?: string | undefined
  /** Whether only pinned memories are listed. */
  readonly pinned?: boolean | undefined
  /** Whether only forgotten memories are listed. */
  readonly forgotten?: boolean | undefined
}

/**
 * Options of `listMemories`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ListOptions extends MemoryConditions {
  /** From 1 to 1,000; default: 20. */
  readonly limit?: number | undefined
}

/**
 * The memory of an agent.
 *
 * @category services
 * @since 0.1.0
 */
export class MemoryBridge extends Context.Service<
  MemoryBridge,
  {
    /** The project with exactly this path, else the one named `default`, else none. */
    readonly getProjectByPath: (path: string) => Effect.Effect<Option.Option<Project>, MemoryError.MemoryError>
    /** The project with this path, created if absent. */
    readonly ensureProject: (location: ProjectLocation) => Effect.Effect<Project, MemoryError.MemoryError>
    /** Compares the repository at a path with the known projects, by its marks. */
    readonly checkProject: (location: ProjectLocation) => Effect.Effect<ProjectStanding, MemoryError.MemoryError>
    /**
     * Assigns a path to the repository that is there now: a project of another repository is stored under `PATH#ID`,
     * and the project at `movedFrom` gets the path if its marks are equal. None if no project moved.
     */
    readonly relocateProject: (
      location: ProjectLocation
    ) => Effect.Effect<Option.Option<Project>, MemoryError.MemoryError>
    /** The projects with their contents, last active first, at most 1,000. Counts all events. */
    readonly listProjects: Effect.Effect<ReadonlyArray<ProjectSummary>, MemoryError.MemoryError>
    /**
     * Moves a project to another path, and renames it if the name is free. Fails with `ProjectNotFound`, or with
     * `PathTaken` if another project has the path.
     */
    readonly moveProject: (
      projectId: number,
      location: ProjectLocation
    ) => Effect.Effect<Project, MemoryError.MemoryError>
    /**
     * Merges one project into another and removes the first, in one transaction: events, goals, sessions and the rows
     * of all other tables that reference it. Fails with `ProjectNotFound` if either does not exist.
     */
    readonly mergeProjects: (from: number, into: number) => Effect.Effect<MergedProjects, MemoryError.MemoryError>
    /** The memories of highest activation, best first. */
    readonly getActiveMemories: (
      projectId: number,
      options?: ActiveMemoriesOptions
    ) => Effect.Effect<ActiveMemories, MemoryError.MemoryError>
    /** The facts of a project, newest first. */
    readonly listFacts: (
      projectId: number,
      options?: FactsOptions
    ) => Effect.Effect<ReadonlyArray<Fact>, MemoryError.MemoryError>
    /** Ends a fact for good; `false` if the project has no such current fact. */
    readonly endFact: (projectId: number, factId: number) => Effect.Effect<boolean, MemoryError.MemoryError>
    /** The ids of the facts that were injected into a session. */
    readonly getInjectedFacts: (sessionId: string) => Effect.Effect<ReadonlyArray<number>, MemoryError.MemoryError>
    /** Marks up to 100 facts as injected into a session. */
    readonly markInjectedFacts: (
      sessionId: string,
      factIds: ReadonlyArray<number>
    ) => Effect.Effect<void, MemoryError.MemoryError>
    /** The notes and the pinned memories of a project, pinned first, then newest; `limit` from 1 to 100, default 50. */
    readonly getNotes: (
      projectId: number,
      options?: { readonly limit?: number | undefined }
    ) => Effect.Effect<ReadonlyArray<Note>, MemoryError.MemoryError>
    /** The digests of recent sessions, best first, at most 20. */
    readonly getDigests: (
      projectId: number,
      options?: { readonly exceptSession?: string | undefined }
    ) => Effect.Effect<ReadonlyArray<SessionDigest>, MemoryError.MemoryError>
    /** The goals that are `active` or `in_progress`, highest priority first. */
    readonly getActiveGoals: (
      projectId: number,
      options?: GoalsOptions
    ) => Effect.Effect<Goals, MemoryError.MemoryError>
    /** Searches the exchanges, best first. An empty query finds nothing. */
    readonly searchMemories: (
      projectId: number,
      query: string,
      options?: SearchOptions
    ) => Effect.Effect<SearchResult, MemoryError.MemoryError>
    /** Records an event, once per key. */
    readonly recordEvent: (event: MemoryEvent) => Effect.Effect<RecordedEvent, MemoryError.MemoryError>
    /** Records up to 1,000 events in one transaction, each once per key. The results have the order of the events. */
    readonly recordEvents: (
      events: ReadonlyArray<MemoryEvent>
    ) => Effect.Effect<ReadonlyArray<RecordedEvent>, MemoryError.MemoryError>
    /** The whole content of a memory. */
    readonly getMemoryContent: (memoryId: number) => Effect.Effect<Option.Option<string>, MemoryError.MemoryError>
    /** The memories of a project that fulfil all conditions, newest first, pinned and forgotten ones included. */
    readonly listMemories: (
      projectId: number,
      options?: ListOptions
    ) => Effect.Effect<ReadonlyArray<MemoryEntry>, MemoryError.MemoryError>
    /** The ids of all memories of a project that fulfil all conditions, oldest first. */
    readonly findMemories: (
      projectId: number,
      conditions?: MemoryConditions
    ) => Effect.Effect<ReadonlyArray<number>, MemoryError.MemoryError>
    /** Up to 1,000 memories with their whole contents, by id. A missing one is left out. */
    readonly getMemories: (
      memoryIds: ReadonlyArray<number>
    ) => Effect.Effect<ReadonlyArray<MemoryEntry>, MemoryError.MemoryError>
    /** Replaces the content of a memory, after redaction. Fails with `MemoryNotFound`. */
    readonly editMemory: (
      projectId: number,
      memoryId: number,
      content: string
    ) => Effect.Effect<void, MemoryError.MemoryError>
    /**
     * Pins up to 1,000 memories of a project, so that every session start receives them, and returns the ids of those
     * that exist.
     */
    readonly pinMemories: (
      projectId: number,
      memoryIds: ReadonlyArray<number>
    ) => Effect.Effect<ReadonlyArray<number>, MemoryError.MemoryError>
    /** Unpins up to 1,000 memories of a project, and returns the ids of those that exist. */
    readonly unpinMemories: (
      projectId: number,
      memoryIds: ReadonlyArray<number>
    ) => Effect.Effect<ReadonlyArray<number>, MemoryError.MemoryError>
    /** Excludes up to 1,000 memories of a project from recall, and returns the ids of those that exist. */
    readonly forgetMemories: (
      projectId: number,
      memoryIds: ReadonlyArray<number>
    ) => Effect.Effect<ReadonlyArray<number>, MemoryError.MemoryError>
    /** Returns up to 1,000 forgotten memories of a project to recall, and returns the ids of those that exist. */
    readonly restoreMemories: (
      projectId: number,
      memoryIds: ReadonlyArray<number>
    ) => Effect.Effect<ReadonlyArray<number>, MemoryError.MemoryError>
    /**
     * Deletes up to 1,000 memories of a project permanently, and returns the ids of those that existed. Their keys
     * remain, so that no later delivery restores them. Their bytes leave the file of an embedded database only when it
     * is rewritten, see `SqliteSpace.rewrite`.
     */
    readonly deleteMemories: (
      projectId: number,
      memoryIds: ReadonlyArray<number>
    ) => Effect.Effect<ReadonlyArray<number>, MemoryError.MemoryError>
    /** The sessions of a project, last active first; `limit` is from 1 to 1,000, 20 by default. */
    readonly listSessions: (
      projectId: number,
      options?: { readonly limit?: number | undefined }
    ) => Effect.Effect<ReadonlyArray<SessionSummary>, MemoryError.MemoryError>
    /** The time of the project's newest event. */
    readonly getLastSessionTime: (
      projectId: number
    ) => Effect.Effect<Option.Option<DateTime.Utc>, MemoryError.MemoryError>
    /** Adds a goal. */
    readonly addGoal: (goal: NewGoal) => Effect.Effect<Goal, MemoryError.MemoryError>
    /** The goals in any of these states, or in every state if none is given, highest priority first. */
    readonly listGoals: (
      projectId: number,
      statuses?: ReadonlyArray<GoalStatus>,
      options?: GoalsOptions
    ) => Effect.Effect<Goals, MemoryError.MemoryError>
    /** Sets the state of a goal. Fails with `GoalNotFound` if the project has no goal with this id. */
    readonly setGoalStatus: (
      projectId: number,
      goalId: number,
      status: GoalStatus
    ) => Effect.Effect<Goal, MemoryError.MemoryError>
    /** Changes the title or the priority of a goal. Fails with `GoalNotFound` if the project has no such goal. */
    readonly editGoal: (
      projectId: number,
      goalId: number,
      changes: GoalChanges
    ) => Effect.Effect<Goal, MemoryError.MemoryError>
    /** Deletes a goal. Fails with `GoalNotFound` if the project has no goal with this id. */
    readonly deleteGoal: (projectId: number, goalId: number) => Effect.Effect<void, MemoryError.MemoryError>
    /** The session with this id, if it exists. */
    readonly getSession: (sessionId: string) => Effect.Effect<Option.Option<Session>, MemoryError.MemoryError>
    /** The session with this id, created if absent. An existing session retains the project in which it began. */
    readonly openSession: (session: NewSession) => Effect.Effect<Session, MemoryError.MemoryError>
    /** The ids of the memories that were injected into a session, newest first, at most 1,000. */
    readonly getInjected: (sessionId: string) => Effect.Effect<ReadonlyArray<number>, MemoryError.MemoryError>
    /** Marks up to 100 memories as injected into a session. */
    readonly markInjected: (
      sessionId: string,
      memoryIds: ReadonlyArray<number>
    ) => Effect.Effect<void, MemoryError.MemoryError>
    /** Clears the injections of a session, after its context was compacted. */
    readonly clearInjected: (sessionId: string) => Effect.Effect<void, MemoryError.MemoryError>
    /**
     * Copies to a fork the injections and the own events of the session last active in its worktree, as injections. The
     * fork must have been opened.
     */
    readonly inheritInjected: (sessionId: string) => Effect.Effect<void, MemoryError.MemoryError>
  }
>()("athena-hooks/memory/MemoryBridge") {}

const nameOrNull = (text: string | undefined): string | null =>
  text === undefined ? null : Redaction.redactName(storable(text))

const conditionsOf = (projectId: number, conditions: MemoryConditions = {}) => ({
  projectId,
  type: conditions.type ?? null,
  sessionId: conditions.sessionId === undefined ? null : idOf(conditions.sessionId),
  since: conditions.since === undefined ? null : DateTime.toEpochMillis(conditions.since),
  containing: conditions.containing ?? null,
  pinned: conditions.pinned ?? false,
  forgotten: conditions.forgotten ?? false
})

const emptySearch: SearchResult = { found: 0, results: [] }

const verb =
  (operation: string) =>
  <A>(effect: Effect.Effect<A, QueryError>): Effect.Effect<A, MemoryError.MemoryError> =>
    Effect.mapError(effect, (error) => MemoryError.from(operation, error))

/**
 * Constructs the memory over the `QueryExecutor` of the context. The tables must exist, see `MemorySchema.migrate`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<MemoryBridge["Service"], never, QueryExecutor.QueryExecutor> = Effect.gen(
  function* () {
    const executor = yield* QueryExecutor.QueryExecutor

    const recordEvents = (operation: string, events: ReadonlyArray<MemoryEvent>) =>
      events.length === 0
        ? Effect.succeed([])
        : Effect.forEach(events, stamp).pipe(
            Effect.flatMap((stamped) => executor.mutate(EventQueries.record, stamped)),
            verb(operation)
          )

    return MemoryBridge.of({
      getProjectByPath: (path) =>
        executor
          .query(ProjectQueries.byPath, { path: Redaction.redactName(storable(path), 850) })
          .pipe(Effect.map(Option.fromNullishOr), verb("getProjectByPath")),
      ensureProject: (location) => executor.mutate(ProjectQueries.ensure, location).pipe(verb("ensureProject")),
      checkProject: (location) => executor.query(ProjectMoves.standing, location).pipe(verb("checkProject")),
      relocateProject: (location) =>
        executor
          .mutate(ProjectMoves.relocate, location)
          .pipe(Effect.map(Option.fromNullishOr), verb("relocateProject")),
      listProjects: executor.query(ProjectMoves.list, {}).pipe(verb("listProjects")),
      moveProject: (projectId, location) =>
        executor.mutate(ProjectMoves.move, { projectId, location: location }).pipe(
          verb("moveProject"),
          Effect.flatMap((outcome) => {
            if (outcome._tag === "Moved") return Effect.succeed(outcome.project)
            const reason =
              outcome._tag === "Missing"
                ? new MemoryError.ProjectNotFound({ projectId })
                : new MemoryError.PathTaken({ path: outcome.by.path, projectId: outcome.by.id })
            return Effect.fail(MemoryError.from("moveProject", reason))
          })
        ),
      mergeProjects: (from, into) =>
        from === into
          ? Effect.fail(
              MemoryError.from("mergeProjects", new MemoryError.InvalidInput({ detail: "the two are one project" }))
            )
          : executor.mutate(ProjectMoves.merge, { from, into }).pipe(
              verb("mergeProjects"),
              Effect.filterOrFail(
                (merged) => merged !== null,
                () => MemoryError.from("mergeProjects", new MemoryError.ProjectNotFound({ projectId: from }))
              )
            ),
      getActiveMemories: (projectId, options) =>
        executor
          .query(ActiveMemoriesQuery.activeMemories, {
            projectId,
            limit: options?.limit ?? 7,
            worktreePath: nameOrNull(options?.worktreePath),
            exceptSession: nameOrNull(options?.exceptSession)
          })
          .pipe(verb("getActiveMemories")),
      listFacts: (projectId, options) =>
        executor
          .query(FactQueries.list, {
            projectId,
            kinds: options?.kinds ?? [],
            all: options?.all ?? false,
            limit: options?.limit ?? 500
          })
          .pipe(verb("listFacts")),
      endFact: (projectId, factId) => executor.mutate(FactQueries.end, { projectId, factId }).pipe(verb("endFact")),
      getInjectedFacts: (sessionId) =>
        executor.query(FactQueries.injected, { sessionId: idOf(sessionId) }).pipe(verb("getInjectedFacts")),
      markInjectedFacts: (sessionId, factIds) =>
        executor
          .mutate(FactQueries.markInjected, { sessionId: idOf(sessionId), factIds })
          .pipe(verb("markInjectedFacts")),
      getNotes: (projectId, options) =>
        executor.query(DigestQueries.notes, { projectId, limit: options?.limit ?? 50 }).pipe(verb("getNotes")),
      getDigests: (projectId, options) =>
        executor
          .query(DigestQueries.digests, { projectId, exceptSession: nameOrNull(options?.exceptSession) })
          .pipe(verb("getDigests")),
      getActiveGoals: (projectId, options) =>
        executor
          .query(GoalQueries.withStatus, {
            projectId,
            statuses: ["active", "in_progress"],
            limit: options?.limit ?? 5
          })
          .pipe(verb("getActiveGoals")),
      searchMemories: (projectId, query, options) =>
        query.trim() === ""
          ? Effect.succeed(emptySearch)
          : executor
              .query(SearchQuery.search, {
                projectId,
                query: storable(query),
                limit: options?.limit ?? 5,
                fragments: options?.fragments ?? true,
                exceptSession: nameOrNull(options?.exceptSession),
                since: options?.since ?? null,
                types: options?.types ?? []
              })
              .pipe(verb("searchMemories")),
      recordEvent: (event) => Effect.map(recordEvents("recordEvent", [event]), (recorded) => recorded[0]!),
      recordEvents: (events) => recordEvents("recordEvents", events),
      getMemoryContent: (memoryId) =>
        executor
          .query(EventQueries.content, { memoryId })
          .pipe(Effect.map(Option.fromNullishOr), verb("getMemoryContent")),
      listMemories: (projectId, options) =>
        executor
          .query(Curation.list, { ...conditionsOf(projectId, options), limit: options?.limit ?? 20 })
          .pipe(verb("listMemories")),
      findMemories: (projectId, conditions) =>
        executor.query(Curation.ids, conditionsOf(projectId, conditions)).pipe(verb("findMemories")),
      getMemories: (ids) => executor.query(Curation.byIds, { ids }).pipe(verb("getMemories")),
      editMemory: (projectId, memoryId, content) =>
        executor.mutate(Curation.edit, { projectId, memoryId, content: redactContent(content) }).pipe(
          verb("editMemory"),
          Effect.filterOrFail(
            (exists) => exists,
            () => MemoryError.from("editMemory", new MemoryError.MemoryNotFound({ memoryId }))
          ),
          Effect.asVoid
        ),
      pinMemories: (projectId, ids) =>
        executor.mutate(Curation.pin, { projectId, ids, isPinned: true }).pipe(verb("pinMemories")),
      unpinMemories: (projectId, ids) =>
        executor.mutate(Curation.pin, { projectId, ids, isPinned: false }).pipe(verb("unpinMemories")),
      forgetMemories: (projectId, ids) =>
        executor.mutate(Curation.forget, { projectId, ids, isForgotten: true }).pipe(verb("forgetMemories")),
      restoreMemories: (projectId, ids) =>
        executor.mutate(Curation.forget, { projectId, ids, isForgotten: false }).pipe(verb("restoreMemories")),
      deleteMemories: (projectId, ids) =>
        executor.mutate(Curation.remove, { projectId, ids }).pipe(verb("deleteMemories")),
      listSessions: (projectId, options) =>
        executor.query(Curation.sessions, { projectId, limit: options?.limit ?? 20 }).pipe(verb("listSessions")),
      getLastSessionTime: (projectId) =>
        executor
          .query(EventQueries.lastSessionTime, { projectId })
          .pipe(Effect.map(Option.fromNullishOr), verb("getLastSessionTime")),
      addGoal: (goal) => executor.mutate(GoalQueries.add, goal).pipe(verb("addGoal")),
      listGoals: (projectId, statuses, options) =>
        executor
          .query(GoalQueries.withStatus, {
            projectId,
            statuses: statuses ?? [],
            limit: options?.limit ?? GoalQueries.maxLimit
          })
          .pipe(verb("listGoals")),
      setGoalStatus: (projectId, goalId, status) =>
        executor.mutate(GoalQueries.setStatus, { projectId, goalId, status }).pipe(
          verb("setGoalStatus"),
          Effect.filterOrFail(
            (goal) => goal !== null,
            () => MemoryError.from("setGoalStatus", new MemoryError.GoalNotFound({ goalId }))
          )
        ),
      editGoal: (projectId, goalId, { priority, title }) =>
        executor
          .mutate(GoalQueries.edit, {
            projectId,
            goalId,
            title: title === undefined ? null : Redaction.redact(title),
            priority: priority ?? null
          })
          .pipe(
            verb("editGoal"),
            Effect.filterOrFail(
              (goal) => goal !== null,
              () => MemoryError.from("editGoal", new MemoryError.GoalNotFound({ goalId }))
            )
          ),
      deleteGoal: (projectId, goalId) =>
        executor.mutate(GoalQueries.remove, { projectId, goalId }).pipe(
          verb("deleteGoal"),
          Effect.filterOrFail(
            (exists) => exists,
            () => MemoryError.from("deleteGoal", new MemoryError.GoalNotFound({ goalId }))
          ),
          Effect.asVoid
        ),
      getSession: (sessionId) =>
        executor
          .query(SessionQueries.byId, { sessionId: idOf(sessionId) })
          .pipe(Effect.map(Option.fromNullishOr), verb("getSession")),
      openSession: (session) => executor.mutate(SessionQueries.open, session).pipe(verb("openSession")),
      getInjected: (sessionId) =>
        executor.query(SessionQueries.injected, { sessionId: idOf(sessionId) }).pipe(verb("getInjected")),
      markInjected: (sessionId, memoryIds) =>
        executor
          .mutate(SessionQueries.markInjected, { sessionId: idOf(sessionId), memoryIds })
          .pipe(verb("markInjected")),
      clearInjected: (sessionId) =>
        executor.mutate(SessionQueries.clearInjected, { sessionId: idOf(sessionId) }).pipe(verb("clearInjected")),
      inheritInjected: (sessionId) =>
        executor.mutate(SessionQueries.inheritInjected, { sessionId: idOf(sessionId) }).pipe(verb("inheritInjected"))
    })
  }
)

/**
 * Provides the memory over the `QueryExecutor` of the context. Place a cache or a profiler between the two.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<MemoryBridge, never, QueryExecutor.QueryExecutor> = Layer.effect(MemoryBridge, make)

/**
 * Provides the memory directly over the `SqlClient` of the context, and creates or migrates the tables.
 *
 * **Example**
 *
 * ```ts
 * import * as MemoryBridge from "athena-hooks/memory/MemoryBridge"
 * import * as Project from "athena-hooks/memory/Project"
 * import * as Sqlite from "athena-hooks/sql/Sqlite"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const Memory = MemoryBridge.layerSql.pipe(Layer.provide(Sqlite.layer({ filename: "memory.db" })))
 *
 * const program = Effect.gen(function* () {
 *   const memory = yield* MemoryBridge.MemoryBridge
 *   const project = yield* memory.ensureProject(Project.make({ path: "/home/me/shop", name: "shop" }))
 *   return yield* memory.searchMemories(project.id, "checkout bug")
 * }).pipe(Effect.provide(Memory))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerSql: Layer.Layer<MemoryBridge, MemoryError.MemoryError, SqlClient.SqlClient> = Layer.unwrap(
  MemorySchema.migrate.pipe(
    Effect.mapError((error) => MemoryError.from("open", error)),
    Effect.as(layer.pipe(Layer.provide(QueryExecutor.layer)))
  )
)

/**
 * Provides a fake with some of the verbs. A missing verb dies with its name.
 *
 * **Example**
 *
 * ```ts
 * import * as MemoryBridge from "athena-hooks/memory/MemoryBridge"
 * import * as Effect from "effect/Effect"
 *
 * const fake = MemoryBridge.layerTest({
 *   getActiveGoals: () =>
 *     Effect.succeed({ count: 1, goals: [{ id: 1, title: "Ship it", status: "active", priority: 9 }] })
 * })
 * ```
 *
 * @category testing
 * @since 0.1.0
 */
export const layerTest = (verbs: Partial<MemoryBridge["Service"]>): Layer.Layer<MemoryBridge> =>
  Layer.mock(MemoryBridge, verbs)
