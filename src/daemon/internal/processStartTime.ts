/**
 * The start time of a process: together with its pid it identifies the process on this host.
 */
import * as fs from "node:fs"

/**
 * Field 22 of `/proc/PID/stat`, in clock ticks since boot; `null` without such a process, for a zombie, and on systems
 * other than Linux.
 */
export const startTimeOf = (pid: number): number | null => {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "latin1")
    // Field 2, the name of the program, may contain spaces and brackets.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return fields[19] === undefined || fields[0] === "Z" ? null : Number(fields[19])
  } catch {
    return null
  }
}
