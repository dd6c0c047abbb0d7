/**
 * Builds what the tests of the command line run, and starts one real Postgres server for the whole run: in a temporary
 * folder, on a free loopback port, ended with the run.
 */
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import * as fs from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import EmbeddedPostgres from "./EmbeddedPostgres.ts"
import { freePort } from "./freePort.ts"
import type { TestProject } from "vitest/node"

export interface PostgresServer {
  readonly host: string
  readonly port: number
  readonly username: string
  readonly password: string
}

declare module "vitest" {
  export interface ProvidedContext {
    postgres: PostgresServer
  }
}

/** Ends the server where the run breaks off before it could. */
const endWithProcess = (dataFolder: string) => {
  const end = () =>
    process.kill(Number.parseInt(readFileSync(path.join(dataFolder, "postmaster.pid"), "utf8"), 10), "SIGINT")
  process.on("exit", end)
  return () => process.off("exit", end)
}

export default async (project: TestProject) => {
  execFileSync(process.execPath, [path.join(import.meta.dirname, "..", "..", "scripts", "build.mjs")], {
    stdio: "inherit"
  })
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), "athena-postgres-"))
  await fs.chmod(folder, 0o755)
  const server: PostgresServer = {
    host: "127.0.0.1",
    port: await freePort(),
    username: "postgres",
    password: "test-password"
  }
  const postgres = new EmbeddedPostgres({
    databaseDir: path.join(folder, "data"),
    port: server.port,
    user: server.username,
    password: server.password,
    persistent: false,
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ["--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"],
    postgresFlags: ["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=60", "-c", "fsync=off"],
    onLog: () => {},
    onError: () => {}
  })
  await postgres.initialise()
  await postgres.start()
  const stopWatching = endWithProcess(path.join(folder, "data"))
  project.provide("postgres", server)

  return async () => {
    stopWatching()
    await postgres.stop()
    await fs.rm(folder, { recursive: true, force: true })
  }
}
