/**
 * `athena stop`: stops the daemon.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Command from "effect/cli/Command"
import * as DaemonClient from "../../daemon/DaemonClient.ts"
import * as DaemonLock from "../../daemon/DaemonLock.ts"
import * as Database from "../../sql/Database.ts"
import * as Output from "../output.ts"

/** The time that the daemon has to finish its work. */
const limit = "10 seconds"

interface Ended {
  readonly running: boolean
  readonly stopped: boolean
  readonly pid: number | null
  readonly problem: string | null
}

/** Waits until the lock is free and its holder has exited. */
const isGone = (home: string, identity: DaemonLock.Identity | undefined) =>
  DaemonLock.isHeld(home).pipe(
    Effect.map((held) => held || (identity !== undefined && DaemonLock.isAlive(identity))),
    Effect.repeat({ while: (there) => there, schedule: Schedule.spaced("50 millis") }),
    Effect.timeoutOption(limit),
    Effect.map(Option.isSome)
  )

const notEnded = (pid: number | null, problem: string): Ended => ({
  running: true,
  stopped: false,
  pid,
  problem: pid === null ? problem : `${problem}; to kill it: kill -9 ${pid}`
})

/** The holder of the lock, if its process start time matches its identity file. */
const provenHolder = (home: string) =>
  Effect.map(DaemonLock.identity(home), (identity) =>
    identity !== null && DaemonLock.isAlive(identity) ? identity : undefined
  )

const end = (home: string) =>
  Effect.gen(function* () {
    const client = yield* DaemonClient.DaemonClient
    if (!(yield* DaemonLock.isHeld(home))) return { running: false, stopped: false, pid: null, problem: null }
    const holder = yield* provenHolder(home)
    const pid = holder?.pid ?? null
    const refusal = yield* client.stop.pipe(
      Effect.as(undefined),
      Effect.catch((error) => Effect.succeed(error))
    )
    // Status 503: the daemon is already stopping.
    if (refusal !== undefined && !(refusal._tag === "Refused" && refusal.status === 503)) {
      return notEnded(pid, refusal._tag === "NotRunning" ? "a daemon runs but accepts no requests" : refusal.message)
    }
    return (yield* isGone(home, holder))
      ? { running: true, stopped: true, pid, problem: null }
      : notEnded(pid, `the daemon did not stop within ${limit}`)
  })

const line = ({ pid, problem, running }: Ended): string => {
  if (!running) return "the daemon is not running"
  return problem ?? `the daemon${pid === null ? "" : ` (process ${pid})`} has stopped; the next hook starts it again`
}

export const stop = Command.make(
  "stop",
  { json: Output.json },
  Effect.fnUntraced(function* ({ json }) {
    const home = yield* Database.home
    const http = NodeHttpClient.layerNodeHttpOptions({ socketPath: DaemonClient.socketOf(home) })
    const client = DaemonClient.layer({ home }).pipe(Layer.provide(http))
    const ended: Ended = yield* Effect.provide(end(home), client)
    yield* Output.print(json, ended, [line(ended)])
    if (ended.problem !== null) process.exitCode = 1
  })
).pipe(
  Command.withDescription("Stop the daemon; the next hook starts it again unless its environment has ATHENA_DAEMON=off")
)
