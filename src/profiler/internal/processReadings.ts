/**
 * What the profiler reads from the process. A test gives readings of its own, so that no figure depends on a machine.
 *
 * What is dear is kept off the hot path: `process.memoryUsage()` takes microseconds, and `process.threadCpuUsage()` moves
 * in steps of the kernel's tick, so that its percentiles below 20 ms are fiction.
 */
import type * as NodeV8 from "node:v8"
import * as Context from "effect/Context"

export interface CpuTime {
  readonly user: number
  readonly system: number
}

export interface Readings {
  /** Time that never jumps, in milliseconds. */
  readonly now: () => number
  /** CPU time of the whole process since its start, in milliseconds. */
  readonly cpu: () => CpuTime
  /** Bytes of the heap in use, which fall when garbage is collected. */
  readonly memory: () => number
  /** The highest resident memory of the process since `reset`, where it can be reset. */
  readonly peak: { readonly reset: () => boolean; readonly read: () => number } | undefined
}

const cpu = (): CpuTime => {
  const { system, user } = process.cpuUsage()
  return { user: user / 1_000, system: system / 1_000 }
}

/** Writing 5 resets the process's own mark of its highest resident memory (Linux, proc(5)). */
const resetPeak = (): boolean => {
  try {
    process.getBuiltinModule("node:fs").writeFileSync("/proc/self/clear_refs", "5")
    return true
  } catch {
    return false
  }
}

/** Loaded when it is needed, and without `import`: that takes milliseconds, for all the parts of it that nobody uses. */
let v8: typeof NodeV8 | undefined

let known: Readings | undefined

/** Of this process. */
export const ofProcess = (): Readings =>
  (known ??= {
    now: () => performance.now(),
    cpu,
    // Not what was allocated in all: Node.js 26 counts that twice, the more the more often it is read.
    memory: () => (v8 ??= process.getBuiltinModule("node:v8")).getHeapStatistics().used_heap_size,
    peak:
      process.platform === "linux"
        ? { reset: resetPeak, read: () => process.resourceUsage().maxRSS * 1_024 }
        : undefined
  })

export const CurrentReadings = Context.Reference<Readings>("athena-hooks/profiler/Readings", {
  defaultValue: ofProcess
})
