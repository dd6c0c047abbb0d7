/**
 * A loopback TCP proxy with network faults on demand.
 *
 * A fault holds for the connections that are open and for those that come, until the next one is set.
 */
import * as net from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/**
 * The fault of the proxy.
 *
 * - `pass`: hands everything on.
 * - `latency`: hands everything on, `ms` later in each direction.
 * - `bandwidth`: hands on `bytesPerSecond` in each direction at most.
 * - `blackHole`: takes everything and hands nothing on until the next fault is set, as TCP does when the line is back.
 *   New connections are accepted and receive nothing.
 * - `halfOpen`: forwards the client's data, and no response until the next fault is set.
 * - `reset`: ends every connection with a reset, new ones immediately.
 * - `slowClose`: hands everything on; when one side closes, the other side hears of it `ms` later.
 * - `refuse`: does not listen; connections that are open stay as they are.
 */
export type Fault =
  | { readonly _tag: "pass" }
  | { readonly _tag: "latency"; readonly ms: number }
  | { readonly _tag: "bandwidth"; readonly bytesPerSecond: number }
  | { readonly _tag: "blackHole" }
  | { readonly _tag: "halfOpen" }
  | { readonly _tag: "reset" }
  | { readonly _tag: "slowClose"; readonly ms: number }
  | { readonly _tag: "refuse" }

export interface FaultProxy {
  readonly host: string
  readonly port: number
  /** Sets the fault. `latency` and `bandwidth` apply to later data. */
  readonly set: (fault: Fault) => Effect.Effect<void>
  /** Ends the open connections with a reset; new ones are treated as the fault says. */
  readonly resetAll: Effect.Effect<void>
  /** Connections accepted since the start. */
  readonly accepted: Effect.Effect<number>
}

/** Pieces that a narrow line is cut into, in bytes. */
const pieceBytes = 1_024

/** One direction of a connection: forwards its data in order, with a delay. */
class Lane {
  private readonly to: net.Socket
  private readonly fault: () => Fault
  private readonly answers: boolean
  private readonly queue: Array<{ readonly bytes: Buffer | "end"; readonly at: number }> = []
  private readonly held: Array<Buffer | "end"> = []
  private timer: NodeJS.Timeout | undefined
  private freeAt = 0

  constructor(to: net.Socket, fault: () => Fault, answers: boolean) {
    this.to = to
    this.fault = fault
    this.answers = answers
  }

  push(bytes: Buffer): void {
    const fault = this.fault()
    const now = performance.now()
    switch (fault._tag) {
      case "blackHole":
        this.held.push(bytes)
        return
      case "halfOpen":
        if (this.answers) this.held.push(bytes)
        else this.enqueue(bytes, now)
        return
      case "latency":
        return this.enqueue(bytes, now + fault.ms)
      case "bandwidth":
        for (let start = 0; start < bytes.length; start += pieceBytes) {
          const piece = bytes.subarray(start, start + pieceBytes)
          this.freeAt = Math.max(this.freeAt, now) + (piece.length / fault.bytesPerSecond) * 1_000
          this.enqueue(piece, this.freeAt)
        }
        return
      default:
        return this.enqueue(bytes, now)
    }
  }

  end(): void {
    const fault = this.fault()
    // The peer behind a black hole does not receive the close.
    if (fault._tag === "blackHole" || this.held.length > 0) {
      this.held.push("end")
      return
    }
    this.enqueue("end", performance.now() + (fault._tag === "slowClose" ? fault.ms : 0))
  }

  /** Forwards the withheld data under the current fault. */
  resume(): void {
    for (const bytes of this.held.splice(0)) {
      if (bytes === "end") this.end()
      else this.push(bytes)
    }
  }

  stop(): void {
    if (this.timer !== undefined) clearTimeout(this.timer)
    this.queue.length = 0
  }

  private enqueue(bytes: Buffer | "end", at: number): void {
    const last = this.queue.at(-1)
    this.queue.push({ bytes, at: last === undefined ? at : Math.max(at, last.at) })
    if (this.timer === undefined) this.flush()
  }

  private readonly flush = (): void => {
    this.timer = undefined
    while (this.queue.length > 0) {
      const { at, bytes } = this.queue[0]!
      const wait = at - performance.now()
      if (wait > 0) {
        this.timer = setTimeout(this.flush, wait)
        return
      }
      this.queue.shift()
      if (this.to.destroyed) continue
      if (bytes === "end") this.to.end()
      else this.to.write(bytes)
    }
  }
}

/** A client, its server and the two lanes between them. */
class Pair {
  readonly client: net.Socket
  readonly server: net.Socket
  private readonly lanes: ReadonlyArray<Lane>

  constructor(client: net.Socket, target: net.NetConnectOpts, fault: () => Fault, onClosed: () => void) {
    this.client = client
    this.server = net.connect({ ...target, allowHalfOpen: true })
    const up = new Lane(this.server, fault, false)
    const down = new Lane(client, fault, true)
    this.lanes = [up, down]
    client.setNoDelay(true)
    this.server.setNoDelay(true)
    client.on("data", (bytes: Buffer) => up.push(bytes))
    this.server.on("data", (bytes: Buffer) => down.push(bytes))
    client.on("end", () => up.end())
    this.server.on("end", () => down.end())
    client.on("error", () => this.server.destroy())
    this.server.on("error", () => client.resetAndDestroy())
    // A client that is gone for good takes its half-open server with it, and not before its last bytes are through.
    client.on("close", () => {
      if (fault()._tag === "blackHole") this.server.destroy()
      onClosed()
    })
    this.server.on("close", () => {
      if (fault()._tag !== "blackHole") client.destroySoon()
    })
  }

  resume(): void {
    for (const lane of this.lanes) lane.resume()
  }

  reset(): void {
    this.client.resetAndDestroy()
    this.server.resetAndDestroy()
  }

  destroy(): void {
    for (const lane of this.lanes) lane.stop()
    this.client.destroy()
    this.server.destroy()
  }
}

const listen = (server: net.Server, port: number): Effect.Effect<number> =>
  Effect.callback<number>((resume) => {
    server.once("error", (cause) => resume(Effect.die(cause)))
    server.listen(port, "127.0.0.1", () => resume(Effect.succeed((server.address() as net.AddressInfo).port)))
  })

/** Starts a proxy in front of a loopback port; it ends, with all its connections, with the scope. */
export const make = (target: { readonly port: number }): Effect.Effect<FaultProxy, never, Scope.Scope> =>
  Effect.gen(function* () {
    let fault: Fault = { _tag: "pass" }
    let accepted = 0
    const pairs = new Set<Pair>()
    const server = net.createServer({ allowHalfOpen: true }, (client) => {
      accepted++
      client.on("error", () => {})
      if (fault._tag === "reset") return client.resetAndDestroy()
      const pair: Pair = new Pair(
        client,
        { host: "127.0.0.1", port: target.port },
        () => fault,
        () => pairs.delete(pair)
      )
      pairs.add(pair)
    })
    const port = yield* listen(server, 0)
    const stopListening = Effect.sync(() => server.close())
    const resetAll = Effect.sync(() => {
      for (const pair of pairs) pair.reset()
    })
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        server.close()
        for (const pair of pairs) pair.destroy()
      })
    )
    return {
      host: "127.0.0.1",
      port,
      set: (next) =>
        Effect.gen(function* () {
          const refused = fault._tag === "refuse"
          fault = next
          for (const pair of pairs) pair.resume()
          if (next._tag === "reset") yield* resetAll
          if (next._tag === "refuse" && !refused) yield* stopListening
          if (next._tag !== "refuse" && refused) yield* listen(server, port)
        }),
      resetAll,
      accepted: Effect.sync(() => accepted)
    }
  })
