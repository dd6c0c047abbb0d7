/**
 * The profiler's readings of the process. Tests supply their own, so that no figure depends on the machine.
 *
 * Expensive readings stay off the hot path: `process.memoryUsage()` takes microseconds, and `process.threadCpuUsage()`
 * advances in steps of the kernel's tick, which makes its percentiles below 20 ms meaningless.
 */
import type * as NodeV8 from "node:v8"
import * as Context from "effect/Context"

export interface CpuTime {
  readonly user: number
  readonly system: number
}

export interface Readings {
  /** Monotonic time in milliseconds. */
  readonly now: () => number
  /** CPU time of the whole process since its start, in milliseconds. */
  readonly cpu: () => CpuTime
  /** Used heap in bytes; it falls when garbage is collected. */
  readonly memory: () => number
  /** The peak resident memory since `reset`, where the platform can reset it. */
  readonly peak: { readonly reset: () => boolean; readonly read: () => number } | undefined
}

const cpu = (): CpuTime => {
  const { system, user } = process.cpuUsage()
  return { user: user / 1_000, system: system / 1_000 }
}

/** Writing 5 resets the process's peak resident memory (Linux, proc(5)). */
const resetPeak = (): boolean => {
  try {
    process.getBuiltinModule("node:fs").writeFileSync("/proc/self/clear_refs", "5")
    return true
  } catch {
    return false
  }
}

/** Loaded on first use and without `import`, which would evaluate unused parts of the module. */
let v8: typeof NodeV8 | undefined

let known: Readings | undefined

export const ofProcess = (): Readings =>
  (known ??= {
    now: () => performance.now(),
    cpu,
    // The total allocation is unusable: Node.js 26 counts it repeatedly when it is read often.
    memory: () => (v8 ??= process.getBuiltinModule("node:v8")).getHeapStatistics().used_heap_size,
    peak:
      process.platform === "linux"
        ? { reset: resetPeak, read: () => process.resourceUsage().maxRSS * 1_024 }
        : undefined
  })

export const CurrentReadings = Context.Reference<Readings>("athena-hooks/profiler/Readings", {
  defaultValue: ofProcess
})
