/**
 * A process that has nothing to do with anything, until it is told to end.
 */
import * as Effect from "effect/Effect"
import * as Worker from "../utils/Worker.ts"

await Effect.runPromise(Worker.ready)
process.stdout.write("well\n")
process.exit(0)
