/**
 * When a process started: with its number, what tells it from every other one of this host.
 */
import * as fs from "node:fs"

/**
 * Field 22 of `/proc/PID/stat`, in clock ticks since the host started; `null` where there is no such process, or no such
 * file as on other systems than Linux.
 */
export const startTimeOf = (pid: number): number | null => {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "latin1")
    // The name of the program, field 2, may have spaces and brackets in it.
    const field = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]
    return field === undefined ? null : Number(field)
  } catch {
    return null
  }
}
