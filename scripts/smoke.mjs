/**
 * Runs the build on the current version of Node.js: the hook in its own process and through the daemon, commands that read
 * the memory, and a recorder with a spool. Fails if an event does not arrive.
 *
 * `node:sqlite` differs between versions of Node.js, and the tests run on one of them.
 */
import assert from "node:assert/strict"
import { spawn, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"

const dist = fileURLToPath(new URL("../dist", import.meta.url))
const built = (name) => import(path.join(dist, name))

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "athena-smoke-"))
const project = path.join(folder, "project")
fs.mkdirSync(path.join(project, ".git"), { recursive: true })

const env = { PATH: process.env.PATH, HOME: folder, ATHENA_HOME: path.join(folder, "home") }
const withoutDaemon = { ...env, ATHENA_DAEMON: "off" }

const run = (script, args, { input = "", using = withoutDaemon } = {}) => {
  const options = { input, env: using, encoding: "utf8", timeout: 30_000 }
  const { status, stderr, stdout } = spawnSync(process.execPath, [path.join(dist, "cli", script), ...args], options)
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" }, `athena ${args.join(" ")}: ${stdout}${stderr}`)
  return stdout
}
const athena = (...args) => JSON.parse(run("bin.js", [...args, "--json"]))

const prompt = (n, using) =>
  run("shim.cjs", ["hook"], {
    using,
    input: JSON.stringify({
      session_id: "s1",
      cwd: project,
      hook_event_name: "UserPromptSubmit",
      prompt: `question ${n} of the smoke test`,
      prompt_id: `p${n}`
    })
  })

/** Runs until it is stopped. */
const withDaemon = async (use) => {
  const child = spawn(process.execPath, [path.join(dist, "cli", "bin.js"), "serve"], { env, stdio: "ignore" })
  const ended = new Promise((resolve) => child.once("exit", resolve))
  const socket = path.join(env.ATHENA_HOME, "daemon", "socket")
  for (let attempt = 0; attempt < 200 && !fs.existsSync(socket); attempt++) {
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  try {
    use()
  } finally {
    spawnSync(process.execPath, [path.join(dist, "cli", "bin.js"), "stop"], { env })
    await ended
  }
}

const Click = Schema.Struct({ id: Schema.String, visit: Schema.String, weight: Schema.Int })

/** Records into a spool, delivers, moves rejected events to the dead letters, and retries them. */
const spool = async () => {
  const [EventRecorder, Mutation, QueryExecutor, Sqlite] = await Promise.all(
    ["events/EventRecorder.js", "query/Mutation.js", "query/QueryExecutor.js", "sql/Sqlite.js"].map(built)
  )
  const store = Mutation.make({
    name: "clicks.store",
    input: Schema.Array(Click),
    changes: () => [],
    run: (clicks) =>
      SqlClient.SqlClient.use((sql) => sql`INSERT INTO clicks ${sql.insert(clicks)} ON CONFLICT (id) DO NOTHING`)
  })
  class Clicks extends EventRecorder.Service()("smoke/Clicks", {
    name: "clicks",
    event: Click,
    id: ({ id }) => id,
    order: ({ visit }) => visit,
    target: store
  }) {}
  const table = SqlClient.SqlClient.use(
    (sql) => sql`CREATE TABLE clicks (id TEXT PRIMARY KEY, visit TEXT, weight INTEGER CHECK (weight >= 0))`
  )
  const filename = path.join(folder, "clicks.spool")
  const layer = EventRecorder.layer(Clicks, { filename, drain: false }).pipe(
    Layer.provide(QueryExecutor.layer),
    Layer.provideMerge(Layer.effectDiscard(table)),
    Layer.provideMerge(Sqlite.layer({ filename: path.join(folder, "clicks.db") }))
  )
  const program = Effect.gen(function* () {
    const context = yield* Layer.build(layer)
    const clicks = Context.get(context, Clicks)
    const sql = Context.get(context, SqlClient.SqlClient)
    const numbers = Array.from({ length: 300 }, (_, n) => n)
    yield* clicks.recordAll(numbers.map((n) => ({ id: `c${n}`, visit: `v${n % 7}`, weight: n === 150 ? -1 : n })))
    assert.deepEqual(yield* clicks.flush(), { delivered: 299, deadLetters: 1, left: 0 })
    assert.equal(yield* clicks.deadLetters.retry(), 1)
    assert.deepEqual(yield* clicks.flush(), { delivered: 0, deadLetters: 1, left: 0 })
    assert.equal(yield* clicks.deadLetters.drop(), 1)
    yield* clicks.record({ id: "last", visit: "v", weight: 1 }, { ack: "committed" })
    const { damaged, delivered, spooled } = yield* clicks.stats
    assert.deepEqual({ damaged, delivered, spooled }, { damaged: 0, delivered: 300, spooled: 0 })
    assert.equal(Number((yield* sql`SELECT count(*) AS count FROM clicks`)[0].count), 300)
  })
  await Effect.runPromise(Effect.scoped(program))
}

try {
  await spool()
  prompt(1, withoutDaemon)
  await withDaemon(() => {
    prompt(2, env)
    prompt(3, env)
  })
  prompt(4, withoutDaemon)
  assert.equal(athena("status").memory.events, 4)
  assert.equal(athena("events", "stats").spooled, 0)
  const { checks } = athena("doctor")
  assert.deepEqual(
    checks.filter(({ status }) => status === "failed"),
    []
  )
  console.log(`ok     ${process.version}`)
} finally {
  fs.rmSync(folder, { recursive: true, force: true })
}
