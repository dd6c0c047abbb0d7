/**
 * Who this process is, and where it can be reached at the moment.
 */
import * as Context from "effect/Context"
import type { Health } from "../DaemonStatus.ts"

export interface State {
  readonly identity: Pick<Health, "version" | "instance" | "pid" | "startedAt" | "home">
  readonly database: "embedded" | "postgres"
  /** Tells the database from others, see `layout.databaseOf`. */
  readonly databaseHash: string
  /** The port on loopback that it listens on. */
  port: number | null
  /** What is wrong with the port, for a person. */
  problem: string | null
  /** What else is wrong. */
  readonly caution: string | null
}

export class DaemonState extends Context.Service<DaemonState, State>()("athena-hooks/daemon/Presence") {}
