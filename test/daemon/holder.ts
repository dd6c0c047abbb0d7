/**
 * A process that holds the lock of a home until it is killed. Argument: what it does, as JSON.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as fs from "node:fs"
import * as Effect from "effect/Effect"
import * as DaemonLock from "../../src/daemon/DaemonLock.ts"
import * as FakeDaemon from "../utils/FakeDaemon.ts"
import * as Worker from "../utils/Worker.ts"

export interface Holding {
  readonly home: string
  readonly version: string
  /** Answers on the socket; else nobody listens there. */
  readonly answers?: boolean
  /** Ends when it is asked to; else it says so and stays. */
  readonly stops?: boolean
  /** Makes a file in the home, by the name of `stop`, when it is asked to end. */
  readonly tells?: boolean
  /** Refuses every question with this status. */
  readonly refuses?: number
  /** What the file of its identity says instead of the truth. */
  readonly identity?: Readonly<Record<string, unknown>>
}

const {
  answers = true,
  home,
  identity,
  refuses,
  stops = true,
  tells = false,
  version
} = JSON.parse(process.argv[2]!) as Holding

const respond: FakeDaemon.Respond = (request, response) => {
  if (refuses !== undefined) return response.writeHead(refuses, FakeDaemon.headers(version)).end()
  if (request.url === "/health") return FakeDaemon.answer(response, FakeDaemon.healthOf(home, version), version)
  response.writeHead(202, FakeDaemon.headers(version)).end()
  if (tells) fs.writeFileSync(`${home}/stop`, "")
  if (stops) response.on("close", () => process.exit(0))
}

await Effect.gen(function* () {
  const own = yield* DaemonLock.acquire({ home, version })
  if (identity !== undefined) {
    fs.writeFileSync(FakeDaemon.layoutOf(home).identity, JSON.stringify({ ...own, ...identity }))
  }
  if (answers) yield* FakeDaemon.start(home, respond)
  yield* Worker.ready
  return yield* Effect.never
}).pipe(
  Effect.scoped,
  Effect.catch((error) => Effect.sync(() => process.stdout.write(`${error._tag}\n`))),
  Effect.provide(NodeServices.layer),
  Effect.runPromise
)
