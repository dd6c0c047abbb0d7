/**
 * Servers in separate processes: the daemon, started as a hook starts it, and a bare server that echoes. Run directly,
 * this file is the bare server.
 */
import { spawn, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import * as path from "node:path"
import { setTimeout as delay } from "node:timers/promises"

export interface ServerProcess {
  readonly port: number
  readonly pid: number
  readonly headers: Readonly<Record<string, string>>
  readonly stop: () => Promise<void>
}

export interface Shim {
  readonly home: string
  /** `on` to use the daemon. */
  readonly daemon: "on" | "off"
}

export const shim = path.join(import.meta.dirname, "..", "dist", "cli", "shim.cjs")

/** Sends an event by a command, as agents without HTTP hooks do; returns its time in milliseconds. */
export const command = ({ daemon, home }: Shim, input: string, args: ReadonlyArray<string> = ["hook"]): number => {
  const env = { PATH: process.env["PATH"], HOME: home, ATHENA_HOME: home, ATHENA_DAEMON: daemon }
  const start = performance.now()
  const { status, stderr } = spawnSync(process.execPath, [shim, ...args], { input, env })
  const time = performance.now() - start
  if (status !== 0 || stderr.length > 0) throw new Error(`a hook ended with ${status}: ${stderr.toString()}`)
  return time
}

interface Answer {
  readonly status: number
  readonly text: string
}

/** Sends a request and reads the whole response. */
export const request = (options: http.RequestOptions, body?: Buffer): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const sent = http.request(options, (response) => {
      const chunks: Array<Buffer> = []
      response.on("data", (chunk: Buffer) => chunks.push(chunk))
      response.on("error", reject)
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, text: chunks.length === 0 ? "" : Buffer.concat(chunks).toString() })
      )
    })
    sent.on("error", reject)
    sent.end(body)
  })

const readIfThere = (file: string): string | undefined => {
  try {
    return fs.readFileSync(file, "utf8").trim()
  } catch {
    return undefined
  }
}

const until = async <A>(what: string, look: () => Promise<A | undefined>): Promise<A> => {
  for (let attempt = 0; attempt < 400; attempt++) {
    const found = await look()
    if (found !== undefined) return found
    await delay(25)
  }
  throw new Error(`${what} did not come`)
}

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Starts the daemon of a home through a hook. */
export const resident = async (home: string, sessionStart: string): Promise<ServerProcess> => {
  command({ home, daemon: "on" }, sessionStart)
  return until("the resident process", async () => {
    const port = Number(readIfThere(path.join(home, "daemon", "port")))
    const token = readIfThere(path.join(home, "daemon", "token"))
    if (!(port > 0) || token === undefined) return undefined
    const headers = { authorization: `Bearer ${token}` }
    const at = { host: "127.0.0.1", port, headers }
    const answer = await request({ ...at, path: "/health" }).catch(() => undefined)
    if (answer?.status !== 200) return undefined
    const { pid } = JSON.parse(answer.text) as { pid: number }
    return {
      port,
      pid,
      headers,
      stop: async () => {
        await request({ ...at, path: "/stop", method: "POST" })
        await until("its end", async () => (isAlive(pid) ? undefined : true))
      }
    }
  })
}

/** Starts the bare server. */
export const bare = (): Promise<ServerProcess> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [import.meta.filename], { stdio: ["ignore", "pipe", "inherit"] })
    child.on("error", reject)
    child.stdout.once("data", (port: Buffer) =>
      resolve({
        port: Number(port),
        pid: child.pid!,
        headers: {},
        stop: async () => void child.kill()
      })
    )
  })

/** The resident memory of a process in MB; `undefined` if the system does not report it. */
export const memory = (pid: number): number | undefined => {
  const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(readIfThere(`/proc/${pid}/status`) ?? "")?.[1]
  return kilobytes === undefined ? undefined : (Number(kilobytes) * 1_024) / 1e6
}

/** CPU milliseconds of all threads of a process; `undefined` if the system does not report it. */
export const processorTime = (pid: number): number | undefined => {
  const folder = `/proc/${pid}/task`
  if (readIfThere(`/proc/${pid}/schedstat`) === undefined) return undefined
  return fs
    .readdirSync(folder)
    .reduce((sum, task) => sum + Number(readIfThere(`${folder}/${task}/schedstat`)?.split(" ")[0] ?? 0) / 1e6, 0)
}

if (process.argv[1] === import.meta.filename) {
  const server = http.createServer((target, answer) => {
    const chunks: Array<Buffer> = []
    target.on("data", (chunk: Buffer) => chunks.push(chunk))
    target.on("end", () => answer.end(Buffer.concat(chunks)))
  })
  server.keepAliveTimeout = 60_000
  server.listen(0, "127.0.0.1", () => console.log((server.address() as AddressInfo).port))
}
