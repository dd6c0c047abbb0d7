/**
 * Measures searches of a public set through the public API: each document is a note.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { MemoryBridge } from "../../src/memory/MemoryBridge.ts"
import * as MemoryEvent from "../../src/memory/MemoryEvent.ts"
import * as Project from "../../src/memory/Project.ts"
import type { PublicSet } from "./publicSets.ts"
import * as Scores from "./Scores.ts"

/** Means over the queries that have relevant documents. */
export interface SearchScores {
  readonly ndcg10: number
  readonly recall5: number
  readonly recall10: number
  /** Milliseconds of each search. */
  readonly latencies: ReadonlyArray<number>
}

/** Records the documents into an empty memory, and searches for each query. */
export const measure = (set: PublicSet) =>
  Effect.gen(function* () {
    const memory = yield* MemoryBridge
    const project = yield* memory.ensureProject(Project.make({ path: `/${set.name}`, name: set.name }))
    const documents = yield* record(project.id, set)
    const scores = yield* Effect.forEach(set.relevant, ([query, relevant]) =>
      Effect.gen(function* () {
        const started = performance.now()
        const { results } = yield* memory.searchMemories(project.id, set.queries.get(query) ?? "", { limit: 10 })
        const latency = performance.now() - started
        const ranking = results.map(({ id }) => documents.get(id) ?? "")
        return {
          latency,
          ndcg10: Scores.ndcg(ranking, relevant, 10),
          recall5: Scores.recall(ranking, relevant, 5),
          recall10: Scores.recall(ranking, relevant, 10)
        }
      })
    )
    return {
      ndcg10: Scores.mean(scores.map(({ ndcg10 }) => ndcg10)),
      recall5: Scores.mean(scores.map(({ recall5 }) => recall5)),
      recall10: Scores.mean(scores.map(({ recall10 }) => recall10)),
      latencies: scores.map(({ latency }) => latency)
    } satisfies SearchScores
  })

/** The document of each stored event. Equal times leave the order to the texts. */
const record = (projectId: number, { documents }: PublicSet) =>
  Effect.gen(function* () {
    const memory = yield* MemoryBridge
    const timestamp = yield* DateTime.now
    const entries = [...documents].filter(([, text]) => text !== "")
    const batches = Array.from({ length: Math.ceil(entries.length / MemoryEvent.maxBatch) }, (_, index) =>
      entries.slice(index * MemoryEvent.maxBatch, (index + 1) * MemoryEvent.maxBatch)
    )
    const recorded = yield* Effect.forEach(batches, (batch) =>
      memory.recordEvents(
        batch.map(([, content]) =>
          MemoryEvent.make({ projectId, sessionId: "athena-cli", type: "note", content, timestamp })
        )
      )
    )
    return new Map(recorded.flat().map(({ id }, index) => [id, entries[index]![0]]))
  })
