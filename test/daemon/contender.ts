/**
 * A process of version 1.0.0 that takes the place of an older one, and says what came of it. Argument: the home.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as DaemonClient from "../../src/daemon/DaemonClient.ts"
import * as DaemonTakeover from "../../src/daemon/DaemonTakeover.ts"

const home = process.argv[2]!

process.stdout.write("ready\n")
await DaemonTakeover.acquire({ home, version: "1.0.0", stopTimeout: "30 seconds" }).pipe(
  Effect.map(({ _tag }) => _tag),
  Effect.catch((error) => Effect.succeed(error._tag)),
  Effect.tap((tag) => Effect.sync(() => process.stdout.write(tag))),
  Effect.provide(
    DaemonClient.layer({ home }).pipe(
      Layer.provide(NodeHttpClient.layerNodeHttpOptions({ socketPath: DaemonClient.socketOf(home) }))
    )
  ),
  Effect.scoped,
  Effect.provide(NodeServices.layer),
  Effect.runPromise
)
