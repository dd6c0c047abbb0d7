/**
 * When a process started: with its number, what tells it from every other one of this host.
 */
import * as fs from "node:fs"

/**
 * Field 22 of `/proc/PID/stat`, in clock ticks since the host started; `null` where there is no such process, or no such
 * file as on other systems than Linux. One that has ended and that nobody has asked after is none either.
 */
export const startTimeOf = (pid: number): number | null => {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "latin1")
    // The name of the program, field 2, may have spaces and brackets in it.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return fields[19] === undefined || fields[0] === "Z" ? null : Number(fields[19])
  } catch {
    return null
  }
}
