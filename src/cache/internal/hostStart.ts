/**
 * Which start of the machine this is, so that a file can say whether it is from before.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as Option from "effect/Option"
import * as Result from "effect/Result"

/** How far two readings of the same start may be apart, in milliseconds, where only the wall clock tells. */
const tolerance = 60_000

const bootId = (): string => fs.readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()

/** What the kernel calls it, or about when it was; a wall clock that is set then passes for another start. */
export const read = (): string =>
  Option.getOrElse(Result.getSuccess(Result.try(bootId)), () =>
    String(Math.round(performance.timeOrigin + performance.now() - os.uptime() * 1_000))
  )

export const isSame = (one: string, other: string): boolean =>
  one === other || Math.abs(Number(one) - Number(other)) <= tolerance
