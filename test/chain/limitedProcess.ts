/**
 * A resident process that ends soon. Arguments: the home, for how many seconds it stays with nothing to do, and how many
 * bytes it may have. Prints why it ended.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Daemon from "../../src/daemon/Daemon.ts"
import * as Endpoint from "../../src/daemon/Endpoint.ts"
import { hostPaths } from "../../src/host/paths.ts"
import * as Layout from "../../src/host/paths.ts"
import * as Retention from "../../src/memory/Retention.ts"
import * as Database from "../../src/sql/Database.ts"

const [home = "", idle, maxMemory] = process.argv.slice(2)

NodeRuntime.runMain(
  Effect.gen(function* () {
    const settings = yield* Database.settings
    const { port, token } = yield* Endpoint.make(home)
    const { socket } = hostPaths(home)
    const reason = yield* Daemon.run({
      identity: {
        version: "0.1.0",
        instance: "limited",
        pid: process.pid,
        startedAt: "2026-01-01T00:00:00.000Z",
        home
      },
      token,
      port,
      socket,
      settings,
      database: Layout.databaseOf(process.env),
      retention: yield* Retention.policyConfig(settings),
      idleTimeout: Duration.seconds(Number(idle)),
      maxMemory: Number(maxMemory)
    })
    yield* Console.log(`ended: ${reason}`)
  }).pipe(Effect.provide(NodeServices.layer))
)
