/**
 * A process that prunes and kills itself inside a deletion, or after one.
 *
 * Arguments: the database, at which deletion, `inside` or `after`.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Retention from "../../src/memory/Retention.ts"
import * as Mutation from "../../src/query/Mutation.ts"
import * as QueryExecutor from "../../src/query/QueryExecutor.ts"
import * as Kit from "./RetentionKit.ts"

const [filename, occurrence, moment] = process.argv.slice(2) as [string, string, "inside" | "after"]

const die = Effect.sync(() => process.kill(process.pid, "SIGKILL"))

let deletions = 0
const deadly = Layer.effect(
  QueryExecutor.QueryExecutor,
  Effect.map(QueryExecutor.QueryExecutor, (executor) => ({
    ...executor,
    mutate: (mutation, input) => {
      const last = ++deletions === Number(occurrence)
      const run = Mutation.make({
        ...mutation,
        run: (input) => Effect.tap(mutation.run(input), () => (last && moment === "inside" ? die : Effect.void))
      })
      return Effect.tap(executor.mutate(run, input), () => (last ? die : Effect.void))
    }
  }))
).pipe(Layer.provideMerge(Kit.sqlite(filename)))

const program = Effect.gen(function* () {
  yield* Retention.prune(yield* Retention.policy())
  process.stderr.write("it lived")
}).pipe(Effect.provide(deadly))

void Effect.runPromise(program)
