/**
 * A worker that makes the endpoint of a home and prints it. Argument: the home.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Endpoint from "../../src/daemon/Endpoint.ts"
import * as Worker from "../utils/Worker.ts"

await Effect.runPromise(Worker.ready)
const { port, token } = await Effect.runPromise(Effect.provide(Endpoint.make(process.argv[2]!), NodeServices.layer))
process.stdout.write(`${port} ${Redacted.value(token)}`)
process.exit(0)
