/**
 * `athena serve`: the resident process, in the foreground. The hooks start it by themselves, in the background.
 */
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Daemon from "../../daemon/Daemon.ts"
import * as DaemonLock from "../../daemon/DaemonLock.ts"
import * as DaemonTakeover from "../../daemon/DaemonTakeover.ts"
import * as Endpoint from "../../daemon/Endpoint.ts"
import { hostPaths } from "../../host/paths.ts"
import * as LogFile from "../../logging/LogFile.ts"
import * as Retention from "../../memory/Retention.ts"
import * as Database from "../../sql/Database.ts"
import { databaseIdentity } from "../../host/paths.ts"
import * as DaemonProbe from "../../daemon/DaemonProbe.ts"
import { version } from "../../internal/version.ts"

const reasons: Readonly<Record<Daemon.Reason, string>> = {
  stop: "it was asked to end",
  idle: "there was nothing to do",
  memory: "it had grown too large; another one takes its place",
  removed: "its home was removed, or is another process's by now"
}

/** The exit code by which the process asks the shell that started it for another one at once. */
const startAgain = 75

const takePlace = (home: string) =>
  DaemonTakeover.acquire({ home, version }).pipe(Effect.provide(DaemonProbe.layer({ home })))

/** How much memory the process may have, in bytes. */
const maxMemory = 256 * 1024 * 1024

const keepEverything: Retention.Policy = { maxAge: Duration.infinity, maxBytes: Number.POSITIVE_INFINITY }

/** Settings of what is kept that can't be used keep nobody from being served: nothing is deleted, and the user is told. */
const upkeep = (settings: Database.Settings) =>
  Retention.policyConfig(settings).pipe(
    Effect.map((retention) => ({ retention, caution: undefined })),
    Effect.catch(({ message }) =>
      Effect.as(Effect.logError(message), { retention: keepEverything, caution: `${message}; nothing is deleted` })
    )
  )

/** Serves in the place of any other process of the home, until there is a reason to end. */
const resident = Effect.fnUntraced(function* (home: string, listenerFd: number | undefined) {
  const settings = yield* Database.settings
  const outcome = yield* takePlace(home)
  if (outcome._tag !== "Acquired") {
    const pid = outcome._tag === "Starting" ? outcome.identity.pid : outcome.health.pid
    return `already there: process ${pid}`
  }
  const isOfHome = yield* DaemonLock.watch(home)
  const { port, token } = yield* Endpoint.make(home)
  const { socket } = hostPaths(home)
  const { instance, pid, startedAt } = outcome.identity
  const { caution, retention } = yield* upkeep(settings)
  const reason = yield* Daemon.run({
    identity: { version, instance, pid, startedAt, home },
    token,
    port,
    listenerFd,
    socket,
    settings,
    database: databaseIdentity(),
    retention,
    warning: caution,
    ownsHome: isOfHome,
    maxMemory
  })
  if (reason === "memory") process.exitCode = startAgain
  return reasons[reason]
}, Effect.scoped)

/** Waits until the terminal is closed that it runs in. */
const hungUp = Effect.callback<string>((resume) => {
  const end = () => resume(Effect.succeed("its terminal was closed"))
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
    const ending = yield* Effect.raceFirst(resident(home, Option.getOrUndefined(listenerFd)), hungUp).pipe(
      // Nobody sees what a process in the background prints.
      Effect.tapCause((cause) =>
        Cause.hasInterruptsOnly(cause) ? Effect.void : Effect.logError("the resident process could not go on", cause)
      ),
      Effect.provide(LogFile.layer({ folder: logs, mergeWithExisting: true })),
      // What it does is measured by its own profiler.
      Effect.withTracerEnabled(false)
    )
    yield* Console.log(ending)
  })
).pipe(
  Command.withDescription(
    "Run the resident process that answers hooks, in the foreground; hooks start it in the background by themselves"
  )
)
