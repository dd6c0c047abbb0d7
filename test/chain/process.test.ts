/**
 * What agents see, and what is in the database in the end, where something is wrong with the daemon.
 */
import * as fs from "node:fs"
import * as http from "node:http"
import * as path from "node:path"
import { afterEach, assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layout from "../../src/host/paths.ts"
import * as Cli from "../utils/Cli.ts"
import * as FakeDaemonServer from "../utils/FakeDaemonServer.ts"
import * as Kit from "./ChainKit.ts"

const version = JSON.parse(fs.readFileSync(path.join(import.meta.dirname, "../../package.json"), "utf8"))
  .version as string

describe.skipIf(process.platform !== "linux")("the daemon", () => {
  afterEach(({ task }) => Kit.printSlowest(task.name))

  it.live("responds in time, stores each event once and injects memories for each agent", () =>
    Effect.gen(function* () {
      const chain = yield* Kit.make()
      yield* chain.athena(["goals", "add", "ship the checkout"])
      const pid = yield* chain.started
      yield* chain.goodDay
      yield* chain.holds
      assert.deepStrictEqual(yield* chain.processes, [pid])
      assert.deepInclude((yield* chain.status)?.responses, { failed: 0, invalid: 0, overloaded: 0 })
    })
  )

  it.live("is started by the first command hook, which runs without it", () =>
    Effect.gen(function* () {
      const chain = yield* Kit.make()
      const claude = yield* chain.session()
      yield* claude.prompt
      yield* claude.tools
      assert.deepStrictEqual([...Kit.postErrors(chain.sinceThen())], ["ECONNREFUSED"])
      const codex = yield* chain.session("codex")
      chain.sinceThen()
      yield* codex.prompt
      chain.allIsWell()
      yield* chain.ready
      yield* chain.goodDay
      yield* chain.holds
    })
  )

  it.live("is started once by twenty concurrent sessions", () =>
    Effect.gen(function* () {
      const chain = yield* Kit.make()
      const sessions = yield* Effect.forEach(Array.from({ length: 20 }), () => chain.session())
      yield* Effect.forEach(
        sessions,
        (session) => Effect.andThen(session.start(), Effect.andThen(session.prompt, session.stop)),
        { concurrency: "unbounded" }
      )
      yield* Effect.forEach(sessions, ({ settled }) => settled)
      const pid = yield* chain.ready
      chain.sinceThen()
      yield* Effect.forEach(sessions, (session) => Effect.andThen(session.tools, session.end), {
        concurrency: "unbounded"
      })
      chain.allIsWell()
      assert.deepStrictEqual(yield* chain.processes, [pid])
      yield* chain.holds
    })
  )

  it.live("is replaced by the next command hook after a kill with a stale socket", () =>
    Effect.gen(function* () {
      const chain = yield* Kit.make()
      yield* chain.started
      const open = yield* chain.session()
      yield* open.start()
      yield* open.prompt
      chain.allIsWell()
      yield* chain.kill
      assert.isTrue(fs.existsSync(chain.places.socket))
      yield* open.tools
      assert.notInclude([...Kit.postErrors(chain.sinceThen())], undefined)
      yield* chain.later
      const next = yield* chain.session()
      const codex = yield* chain.session("codex")
      yield* next.start()
      yield* codex.prompt
      chain.allIsWell()
      yield* chain.ready
      yield* open.work
      chain.allIsWell()
      yield* chain.holds
    })
  )

  it.live("stores a redelivered event once after it was suspended", () =>
    Effect.gen(function* () {
      const chain = yield* Kit.make()
      yield* chain.started
      const claude = yield* chain.session()
      const codex = yield* chain.session("codex")
      yield* claude.prompt
      yield* codex.prompt
      chain.allIsWell()
      yield* chain.signal("SIGSTOP")
      yield* claude.prompt
      yield* claude.tools
      assert.deepStrictEqual([...Kit.postErrors(chain.sinceThen())], ["timed out"])
      yield* claude.stop
      yield* claude.settled
      chain.sinceThen()
      yield* codex.work
      chain.allIsWell()
      // Later it does what it was told meanwhile, as one does whose machine was asleep.
      yield* chain.signal("SIGCONT")
      yield* chain.ready
      yield* chain.goodDay
      yield* chain.holds
    })
  )

  for (const [what, answer, error] of [
    ["fails at every request", () => ({ status: 500, text: '{"decision":"block","reason":"no"}' }), "HTTP 500"],
    [
      "takes five seconds for every answer",
      () =>
        new Promise<{ status: number; text: string }>((resolve) =>
          setTimeout(() => resolve({ status: 204, text: "" }), 5_000).unref()
        ),
      "timed out"
    ]
  ] as const) {
    it.live(`${what}: reports it to the user while command hooks run without it`, () =>
      Effect.gen(function* () {
        const chain = yield* Kit.make()
        const claude = yield* chain.session()
        const codex = yield* chain.session("codex")
        const endpoint = FakeDaemonServer.endpointOf(chain.folder)
        yield* chain.claimed
        yield* FakeDaemonServer.start({ ...endpoint, home: chain.home, version, answer }).pipe(
          Effect.andThen(
            Effect.gen(function* () {
              yield* claude.prompt
              yield* claude.stop
              assert.deepStrictEqual([...Kit.postErrors(chain.sinceThen())], [error])
              yield* claude.settled
              chain.sinceThen()
              yield* codex.prompt
              chain.allIsWell()
            })
          ),
          Effect.scoped
        )
        yield* chain.later
        yield* chain.started
        yield* chain.goodDay
        yield* chain.holds
      })
    )
  }

  for (const [what, written, instead, refusal] of [
    ["a token that it does not know", /Bearer [\w-]+/g, "Bearer of-another-home", "HTTP 401"],
    ["what is for another database", /("athena-database": )"\w+"/g, '$1"of-another"', "HTTP 409"]
  ] as const) {
    it.live(`rejects posts and accepts command hooks with ${what}`, () =>
      Effect.gen(function* () {
        const chain = yield* Kit.make()
        yield* chain.started
        const text = fs.readFileSync(chain.settings.claude, "utf8")
        fs.writeFileSync(chain.settings.claude, text.replaceAll(written, instead))
        const claude = yield* chain.session()
        yield* claude.start()
        chain.allIsWell()
        yield* claude.work
        assert.deepStrictEqual([...Kit.postErrors(chain.sinceThen())], [refusal])
        // What was installed once more is right again, also in a session that is open.
        yield* chain.athena(["install"])
        yield* chain.goodDay
        yield* chain.holds
      })
    )
  }

  it.live("serves command hooks while a stranger holds its port, and listens once the port is free", () =>
    Effect.gen(function* () {
      const chain = yield* Kit.make()
      const { port } = FakeDaemonServer.endpointOf(chain.folder)
      const claude = yield* chain.session()
      yield* Effect.acquireRelease(
        Effect.promise(async () => {
          const server = http.createServer((_, response) => response.writeHead(404).end("<html>not here</html>"))
          await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve))
          return server
        }),
        (server) =>
          Effect.promise(() => {
            server.closeAllConnections()
            return new Promise((resolve) => server.close(resolve))
          })
      ).pipe(
        Effect.andThen(
          Effect.gen(function* () {
            yield* claude.start()
            yield* Kit.until(
              "the process says what is wrong",
              Effect.map(chain.status, (status) => /held by another program/.test(String(status?.health.problem)))
            )
            chain.sinceThen()
            yield* claude.work
            assert.deepStrictEqual([...Kit.postErrors(chain.sinceThen())], ["HTTP 404"])
            const codex = yield* chain.session("codex")
            yield* codex.start()
            yield* codex.work
            chain.allIsWell()
          })
        ),
        Effect.scoped
      )
      yield* chain.ready
      yield* chain.goodDay
      yield* chain.holds
    })
  )

  it.live("is replaced by a newer version amid traffic without a lost event", () =>
    Effect.gen(function* () {
      const { folder } = yield* Cli.scratch
      const dist = path.join(folder, "installed")
      const newer = path.dirname(Cli.bin)
      fs.mkdirSync(dist)
      fs.writeFileSync(path.join(dist, "package.json"), '{ "type": "module" }')
      const install = (version_: string) => {
        for (const name of fs.readdirSync(newer).filter((name) => /\.c?js$/.test(name))) {
          const text = fs.readFileSync(path.join(newer, name), "utf8")
          // Another version has another build id, so that it runs no code that this one cached.
          const ofBuild = version_ === version ? text : text.replaceAll(/(?<=")[0-9a-f]{32}(?=")/g, "0".repeat(32))
          fs.writeFileSync(path.join(dist, name), ofBuild.replaceAll(`"${version}"`, `"${version_}"`))
        }
      }
      install("0.0.9")
      const chain = yield* Kit.make({ dist })
      const old = yield* chain.started
      assert.strictEqual((yield* chain.status)?.health.version, "0.0.9")
      const sessions = yield* Effect.forEach(Array.from({ length: 3 }), () => chain.session())
      const traffic = yield* Effect.forkChild(
        Effect.forEach(sessions, (session) => Effect.forever(Effect.andThen(session.tool, Effect.sleep("5 millis"))), {
          concurrency: "unbounded"
        })
      )
      install(version)
      yield* chain.later
      const codex = yield* chain.session("codex")
      yield* codex.prompt
      yield* Kit.until(
        "the newer one is there",
        Effect.map(chain.status, (status) => status?.health.version === version)
      )
      yield* codex.stop
      yield* Fiber.interrupt(traffic)
      chain.isWell(Kit.commands(chain.sinceThen()))
      assert.notStrictEqual(yield* chain.ready, old)
      yield* chain.goodDay
      // It ends while it answers, and leaves no request without an answer.
      assert.notInclude([...Kit.postErrors(chain.heard)], "timed out")
      assert.isAbove((yield* chain.holds).size, 30)
    })
  )
})

const post = (headers: http.OutgoingHttpHeaders) => ({ method: "POST", path: "/hooks/claude", headers })

/** What a page in a browser could send, and what a program without the token could. */
const unwelcome = (
  port: number,
  token: string
): ReadonlyArray<readonly [string, http.RequestOptions, string | undefined]> => {
  const body = JSON.stringify({
    hook_event_name: "Stop",
    session_id: "s-page",
    prompt_id: "p-page",
    cwd: "/",
    last_assistant_message: "it came from a page"
  })
  const known = { authorization: `Bearer ${token}` }
  return [
    ["a simple post of a page", post({ "content-type": "text/plain", origin: "https://example.com" }), body],
    ["a form of a page", post({ "content-type": "application/x-www-form-urlencoded", origin: "null" }), body],
    ["a beacon", post({ "content-type": "text/plain", "sec-fetch-site": "cross-site" }), body],
    ["a post without a token", post({ "content-type": "application/json" }), body],
    ["an empty token", post({ authorization: "Bearer " }), body],
    ["another token", post({ authorization: "Bearer 0123456789" }), body],
    ["the token as a password", post({ authorization: `Basic ${token}` }), body],
    ["the token in the address", { ...post({}), path: `/hooks/claude?token=${token}` }, body],
    ["the token in a cookie", post({ cookie: `authorization=Bearer ${token}` }), body],
    ["a page with the token", post({ ...known, origin: "http://localhost:3000" }), body],
    ["a page of this address", post({ ...known, origin: `http://127.0.0.1:${port}` }), body],
    ["a sandboxed page", post({ ...known, origin: "null" }), body],
    ["another name for this host", post({ ...known, host: `evil.example:${port}` }), body],
    ["another port", post({ ...known, host: "127.0.0.1:1" }), body],
    ["a name that only begins well", post({ ...known, host: `127.0.0.1:${port}.evil.example` }), body],
    [
      "a question before a post",
      {
        method: "OPTIONS",
        path: "/hooks/claude",
        headers: {
          origin: "https://example.com",
          "access-control-request-method": "POST",
          "access-control-request-headers": "authorization"
        }
      },
      undefined
    ],
    ["who is there", { path: "/health" }, undefined],
    ["how it is", { path: "/status" }, undefined],
    ["its metrics", { path: "/metrics", headers: { origin: "https://example.com" } }, undefined],
    ["its end", { method: "POST", path: "/stop", headers: { origin: "https://example.com" } }, undefined],
    [
      "an upgrade",
      { path: "/health", headers: { connection: "upgrade", upgrade: "websocket", origin: "https://example.com" } },
      undefined
    ],
    ["nothing there", { path: "/" }, undefined],
    ["a path outside", { path: "/../daemon/token" }, undefined]
  ]
}

describe.skipIf(process.platform !== "linux")("a request that no agent makes", () => {
  it.live("receives no information, and nothing of it is stored", () =>
    Effect.gen(function* () {
      const chain = yield* Kit.make()
      const pid = yield* chain.started
      const { port } = FakeDaemonServer.endpointOf(chain.folder)
      const token = fs.readFileSync(chain.places.token, "latin1").trim()
      for (const [what, options, body] of unwelcome(port, token)) {
        const answer = yield* Effect.promise(
          () =>
            new Promise<http.IncomingMessage & { text: string }>((resolve, reject) => {
              const request = http.request({ host: "127.0.0.1", port, agent: false, ...options }, (response) => {
                let text = ""
                response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk))
                response.on("end", () => resolve(Object.assign(response, { text })))
              })
              request.on("error", reject).end(body)
            })
        )
        assert.include([401, 403], answer.statusCode, what)
        assert.strictEqual(answer.text, "", what)
        for (const name of Object.keys(answer.headers)) {
          assert.notMatch(name, /^(?:access-control-.*|server|x-powered-by)$/, what)
          assert.notInclude(Object.values(Layout.headers) as ReadonlyArray<string>, name, what)
        }
      }
      const session = yield* chain.session()
      yield* session.stop
      yield* chain.holds
      assert.deepStrictEqual([...(yield* chain.stored).values()], [1])
      assert.deepStrictEqual(yield* chain.processes, [pid])
      const { events } = (yield* chain.json(["status"])).memory
      assert.strictEqual(events, 1)
    })
  )
})
