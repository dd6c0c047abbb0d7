/**
 * How the commands reach the resident process of a home: through its socket.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Layer from "effect/Layer"
import * as DaemonClient from "./DaemonClient.ts"

export const layer = (options: DaemonClient.DaemonClientOptions) =>
  DaemonClient.layer(options).pipe(
    Layer.provide(NodeHttpClient.layerNodeHttpOptions({ socketPath: DaemonClient.socketOf(options.home) }))
  )
