/**
 * A small fixed workload whose duration measures the machine's current speed. It runs in built-in functions of V8, so
 * that a fresh process takes no longer than a warm one.
 */
const input = JSON.stringify(
  Array.from({ length: 40 }, (_, id) => ({ id, name: `item ${id}`, tags: ["a", "b", String(id)], ratio: id / 7 }))
)

const kernel = (): number => JSON.stringify(JSON.parse(input)).length

/** Times the kernel, in milliseconds: the minimum of three runs, which is the least disturbed one. */
export const calibrate = (now: () => number): number => {
  let least = Infinity
  for (let run = 0; run < 3; run++) {
    const started = now()
    kernel()
    least = Math.min(least, now() - started)
  }
  return least
}
