/**
 * `athena serve`: runs the daemon in the foreground. Hooks start it in the background.
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Daemon from "../../daemon/Daemon.ts"
import * as DaemonLock from "../../daemon/DaemonLock.ts"
import * as DaemonTakeover from "../../daemon/DaemonTakeover.ts"
import * as Endpoint from "../../daemon/Endpoint.ts"
import * as Leftovers from "../../host/leftovers.ts"
import { databaseIdentity, hostPaths } from "../../host/paths.ts"
import { isConsolidationDisabled } from "../../host/environment.ts"
import * as LogFile from "../../logging/LogFile.ts"
import * as Retention from "../../memory/Retention.ts"
import * as Database from "../../sql/Database.ts"
import * as DaemonProbe from "../../daemon/DaemonProbe.ts"
import * as Output from "../output.ts"
import { version } from "../../internal/version.ts"

const reasons: Readonly<Record<Daemon.Reason, string>> = {
  stop: "stopped on request",
  idle: "stopped after idling",
  memory: "stopped because of its memory; a new daemon starts",
  removed: "stopped because its home was removed or belongs to another daemon"
}

/** The exit code that requests a restart from the supervisor. */
const restartExitCode = 75

const takeOver = (home: string) =>
  DaemonTakeover.acquire({ home, version }).pipe(Effect.provide(DaemonProbe.layer({ home })))

/** The maximum memory of the daemon in bytes. */
const maxMemory = 256 * 1024 * 1024

const keepEverything: Retention.Policy = { maxAge: Duration.infinity, maxBytes: Number.POSITIVE_INFINITY }

/** An invalid retention policy does not stop the daemon: it deletes nothing and reports the problem. */
const retentionPolicy = (settings: Database.Settings) =>
  Retention.policyConfig(settings).pipe(
    Effect.map((retention) => ({ retention, caution: undefined })),
    Effect.catch(({ message }) =>
      Effect.as(Effect.logError(message), { retention: keepEverything, caution: `${message}; nothing is deleted` })
    )
  )

/** Takes over from any other daemon of the home and serves until it has a reason to end. */
const serveHome = Effect.fnUntraced(function* (home: string, listenerFd: number | undefined) {
  const settings = yield* Database.settings
  const outcome = yield* takeOver(home)
  if (outcome._tag !== "Acquired") {
    const pid = outcome._tag === "Starting" ? outcome.identity.pid : outcome.health.pid
    return `a daemon runs already: process ${pid}`
  }
  const isOfHome = yield* DaemonLock.watch(home)
  const { port, token } = yield* Endpoint.make(home)
  const { socket } = hostPaths(home)
  const { instance, pid, startedAt } = outcome.identity
  yield* Effect.forkScoped(Leftovers.run)
  const { caution, retention } = yield* retentionPolicy(settings)
  const reason = yield* Daemon.run({
    identity: { version, instance, pid, startedAt, home },
    token,
    port,
    listenerFd,
    socket,
    settings,
    database: databaseIdentity(),
    retention,
    consolidate: !(yield* isConsolidationDisabled),
    warning: caution,
    ownsHome: isOfHome,
    maxMemory
  })
  if (reason === "memory") process.exitCode = restartExitCode
  return reasons[reason]
}, Effect.scoped)

/** Completes when the terminal closes. */
const terminalClosed = Effect.callback<string>((resume) => {
  const end = () => resume(Effect.succeed("its terminal closed"))
  process.once("SIGHUP", end)
  return Effect.sync(() => process.off("SIGHUP", end))
})

export const serve = Command.make(
  "serve",
  {
    listenerFd: Flag.Int("listener-fd").pipe(
      Flag.withDescription("The number of an inherited socket that listens on the port of the home"),
      Flag.optional,
      Flag.withHidden
    )
  },
  Effect.fnUntraced(function* ({ listenerFd }) {
    const home = yield* Database.home
    const { logs } = hostPaths(home)
    const ending = yield* Effect.raceFirst(serveHome(home, Option.getOrUndefined(listenerFd)), terminalClosed).pipe(
      // A background process has no visible output, so the log records the failure.
      Effect.tapCause((cause) =>
        Cause.hasInterruptsOnly(cause) ? Effect.void : Effect.logError("the daemon failed", cause)
      ),
      Effect.provide(LogFile.layer({ folder: logs, mergeWithExisting: true })),
      // The daemon has its own profiler.
      Effect.withTracerEnabled(false)
    )
    yield* Output.text(ending)
  })
).pipe(Command.withDescription("Run the daemon in the foreground; hooks start it in the background"))
