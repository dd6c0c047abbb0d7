/**
 * A worker that makes the endpoints of homes, one after the other, and prints them in lines. Arguments: the homes.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Endpoint from "../../src/daemon/Endpoint.ts"
import * as Worker from "../utils/Worker.ts"

await Effect.runPromise(Worker.ready)
const made = await Effect.runPromise(
  Effect.provide(Effect.forEach(process.argv.slice(2), Endpoint.make), NodeServices.layer)
)
process.stdout.write(made.map(({ port, token }) => `${port} ${Redacted.value(token)}`).join("\n"))
process.exit(0)
