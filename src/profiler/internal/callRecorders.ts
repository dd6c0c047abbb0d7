/**
 * The recorder behind a profiler, for the modules of this folder that need more than its reports.
 */
import type { Recorder } from "./callRecorder.ts"

const recorders = new WeakMap<object, Recorder>()

export const set = (profiler: object, recorder: Recorder): void => {
  recorders.set(profiler, recorder)
}

/** A profiler that is none of ours, such as one that does nothing, has none. */
export const get = (profiler: object): Recorder | undefined => recorders.get(profiler)
