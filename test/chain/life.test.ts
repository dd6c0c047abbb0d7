/**
 * The life of the daemon under traffic: killed at any moment, ended in order, asleep, for a long time, up to its
 * limits. `CHAIN_KILLS`, `CHAIN_COLD_STARTS` and `CHAIN_EVENTS` make the tests longer.
 */
import * as fs from "node:fs"
import * as http from "node:http"
import * as path from "node:path"
import { afterEach, assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Agent from "../utils/Agent.ts"
import * as Cli from "../utils/Cli.ts"
import * as Generator from "../utils/Generator.ts"
import * as Worker from "../utils/Worker.ts"
import * as Kit from "./ChainKit.ts"

const kills = Number(process.env["CHAIN_KILLS"] ?? 6)
const coldStarts = Number(process.env["CHAIN_COLD_STARTS"] ?? 1)
const events = Number(process.env["CHAIN_EVENTS"] ?? 6_000)
const seed = Number(process.env["CHAIN_SEED"] ?? Date.now() % 1_000_000)

/** Sessions that use one tool after the other, until they are interrupted. */
const traffic = (sessions: ReadonlyArray<Kit.Session>) =>
  Effect.forEach(sessions, (session) => Effect.forever(Effect.andThen(session.tool, Effect.sleep("2 millis"))), {
    concurrency: "unbounded",
    discard: true
  })

const limitedProcess = path.join(import.meta.dirname, "limitedProcess.ts")

/** Posts some events, again where there were too many at once, and says how many were answered with what. */
const postAll = (
  url: string,
  headers: Readonly<Record<string, string>>,
  bodies: Iterator<string>,
  connections: number
) =>
  Effect.promise(async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: connections })
    const statuses = new Map<number, number>()
    const post = (body: string) =>
      new Promise<number>((resolve, reject) => {
        const options = {
          method: "POST",
          agent,
          headers: { "content-type": "application/json", "content-length": Buffer.byteLength(body), ...headers }
        }
        http
          .request(url, options, (response) => {
            response.resume().on("end", () => resolve(response.statusCode!))
          })
          .on("error", reject)
          .end(body)
      })
    const one = async (): Promise<void> => {
      for (let next = bodies.next(); next.done !== true; next = bodies.next()) {
        let status = await post(next.value)
        while (status === 429) {
          await new Promise((resolve) => setTimeout(resolve, 25))
          status = await post(next.value)
        }
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
      }
    }
    await Promise.all(Array.from({ length: connections }, one))
    agent.destroy()
    return statuses
  })

describe.skipIf(process.platform !== "linux")("the daemon", () => {
  afterEach(({ task }) => Kit.printSlowest(task.name))

  it.live(
    `stores acknowledged events once across kills and restarts (seed ${seed})`,
    () =>
      Effect.gen(function* () {
        const random = Generator.make(seed)
        const chain = yield* Kit.make()
        const claude = yield* Effect.forEach([0, 1, 2], () => chain.session())
        const codex = yield* chain.session("codex")
        yield* chain.started
        for (let round = 0; round < kills; round++) {
          const running = yield* Effect.forkChild(traffic([...claude, codex]))
          yield* Effect.sleep(random.int(300))
          yield* chain.kill
          yield* Effect.sleep(random.int(50))
          yield* Fiber.interrupt(running)
          // The events of the time in between are the user's to see, and nobody vouched for them.
          for (const { error = "not durable yet" } of Kit.commands(chain.sinceThen()))
            assert.match(error, /not durable yet/)
          yield* chain.later
          yield* chain.started
          chain.sinceThen()
          yield* claude[random.int(3)]!.tools
          chain.allIsWell()
        }
        yield* chain.goodDay
        yield* chain.holds
        assert.isAbove(chain.acknowledged().size, kills)
      }),
    { timeout: 60_000 + kills * 5_000 }
  )

  it.live(
    `stores the first prompt of a session without a daemon (${coldStarts} times)`,
    () =>
      Effect.gen(function* () {
        const chain = yield* Kit.make()
        for (let round = 0; round < coldStarts; round++) {
          const session = yield* chain.session()
          yield* session.start()
          yield* session.prompt
          // A busy machine may start the process more slowly than the agent waits: nothing is refused, and all is stored.
          for (const { error = "not durable yet" } of chain.sinceThen())
            assert.match(error, /not durable yet|timed out/)
          yield* Kit.until(
            "the prompt is stored",
            Effect.map(chain.stored, ({ size }) => size === round + 1)
          )
          yield* chain.kill
        }
        yield* chain.started
        yield* chain.holds
      }),
    { timeout: 60_000 + coldStarts * 10_000 }
  )

  it.live("stores the first prompts of eight concurrent sessions in one daemon", () =>
    Effect.gen(function* () {
      const chain = yield* Kit.make()
      const sessions = yield* Effect.forEach(Array.from({ length: 8 }), () => chain.session())
      yield* Effect.forEach(sessions, (session) => Effect.andThen(session.start(), session.prompt), {
        concurrency: "unbounded"
      })
      chain.allIsWell()
      yield* chain.ready
      yield* chain.holds
    })
  )

  it.live("restarts and stores the prompt after a kill behind the session start", () =>
    Effect.gen(function* () {
      const chain = yield* Kit.make()
      const first = yield* chain.started
      const session = yield* chain.session()
      yield* session.start()
      process.kill(first, "SIGKILL")
      yield* session.prompt
      // A busy machine takes longer than the agent waits, and the prompt is stored all the same.
      for (const { error = "timed out" } of chain.sinceThen()) assert.strictEqual(error, "timed out")
      assert.notStrictEqual(yield* chain.ready, first)
      yield* Kit.until(
        "the prompt is stored",
        Effect.map(chain.stored, ({ size }) => size === 1)
      )
      yield* session.work
      chain.allIsWell()
      yield* chain.holds
    })
  )

  it.live("stops together with its supervisor", () =>
    Effect.gen(function* () {
      const chain = yield* Kit.make()
      yield* chain.started
      assert.strictEqual((yield* chain.supervisors).length, 1)
      yield* chain.athena(["stop"])
      yield* chain.gone
      assert.deepStrictEqual(yield* chain.supervisors, [])
    })
  )

  for (const name of ["SIGTERM", "SIGHUP"] as const) {
    it.live(`loses no event on ${name}, and the next session starts a daemon`, () =>
      Effect.gen(function* () {
        const chain = yield* Kit.make()
        yield* chain.started
        const sessions = yield* Effect.forEach(Array.from({ length: 8 }), () => chain.session())
        const running = yield* Effect.forkChild(traffic(sessions))
        yield* Kit.until(
          "there is traffic",
          Effect.sync(() => chain.acknowledged().size > 30)
        )
        yield* chain.signal(name)
        yield* Kit.until(
          "it has ended",
          Effect.map(chain.processes, ({ length }) => length === 0)
        )
        yield* Fiber.interrupt(running)
        // It ends while it answers, and leaves no request without an answer.
        assert.notInclude([...Kit.postErrors(chain.heard)], "timed out")
        // One that was killed leaves it behind.
        assert.isFalse(fs.existsSync(chain.places.socket))
        yield* chain.later
        yield* chain.started
        yield* chain.goodDay
        yield* chain.holds
      })
    )
  }

  it.live("retains its sessions across a suspend", () =>
    Effect.gen(function* () {
      const chain = yield* Kit.make()
      const pid = yield* chain.started
      const session = yield* chain.session()
      yield* session.prompt
      yield* chain.signal("SIGSTOP")
      yield* Effect.sleep("2 seconds")
      yield* chain.signal("SIGCONT")
      yield* session.work
      chain.allIsWell()
      assert.deepStrictEqual(yield* chain.processes, [pid])
      yield* chain.holds
    })
  )

  it.live("stores accepted events when it ends at its memory limit", () =>
    Effect.forEach(
      [
        ["idle", "1", String(2 ** 40)],
        ["memory", "3600", String(32 * 1024 * 1024)]
      ] as const,
      ([reason, idle, maxMemory]) =>
        Effect.gen(function* () {
          const chain = yield* Kit.make()
          yield* chain.claimed
          const ended = yield* Effect.forkChild(
            Cli.run([chain.home, idle, maxMemory], {
              script: Worker.bundle(limitedProcess),
              env: chain.env,
              cwd: chain.project
            })
          )
          yield* Kit.until(
            "it listens",
            Effect.map(chain.status, (status) => typeof status?.health.port === "number")
          )
          const session = yield* chain.session()
          yield* session.tools
          // Who sits before an open session will go on at some time.
          if (reason === "idle") yield* session.end
          chain.allIsWell()
          const running = yield* Effect.forkChild(reason === "memory" ? traffic([session]) : Effect.void)
          const { code, stdout } = yield* Fiber.join(ended)
          assert.deepStrictEqual([code, stdout.trim().split("\n").at(-1)], [0, `ended: ${reason}`])
          yield* Fiber.interrupt(running)
          assert.isFalse(fs.existsSync(chain.places.socket))
          yield* chain.later
          yield* chain.started
          yield* chain.goodDay
          yield* chain.holds
        }),
      { concurrency: "unbounded" }
    )
  )

  it.live(
    `stores ${events} events within bounded memory`,
    () =>
      Effect.gen(function* () {
        const chain = yield* Kit.make()
        yield* chain.started
        const [handler] = Agent.handlers(chain.settings.claude, "PostToolBatch")
        const bodies = function* (from: number, to: number) {
          for (let i = from; i < to; i++) {
            yield JSON.stringify({
              session_id: `load-${i % 40}`,
              prompt_id: `p-${i}`,
              cwd: chain.project,
              hook_event_name: "PostToolBatch",
              tool_calls: [
                {
                  tool_name: "Bash",
                  tool_use_id: `load-${i}`,
                  tool_input: { command: `echo mark${1_000_000 + i}end` },
                  tool_response: "x".repeat(2_000)
                }
              ]
            })
          }
        }
        const tell = (from: number, to: number) => postAll(handler!.url!, handler!.headers!, bodies(from, to), 8)
        // By then it has grown to what it needs for as many at once.
        const early = Math.max(5_000, Math.floor(events / 5))
        const first = yield* tell(0, early)
        yield* chain.caughtUp
        const before = (yield* chain.status)!.memory.rss
        const second = yield* tell(early, events)
        // The rest of them may take a while on a busy machine.
        yield* chain.caughtUp
        const after = (yield* chain.status)!.memory.rss
        if (process.env["CHAIN_TIMES"] !== undefined) console.log({ before, after, first, second })
        for (const statuses of [first, second]) {
          for (const status of statuses.keys()) assert.include([202, 204], status)
        }
        const counts = yield* chain.holds
        assert.strictEqual(counts.size, events)
        assert.isBelow(after, 256 * 1024 * 1024)
        assert.isBelow(after - before, 48 * 1024 * 1024)
      }),
    { timeout: 60_000 + events * 5 }
  )
})
