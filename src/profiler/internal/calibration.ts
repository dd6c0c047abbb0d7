/**
 * A small piece of work whose time says how fast the machine is at the moment. It is done by functions of V8 that are
 * compiled already, so that it takes a process that has just started no longer than one that is warm.
 */
const input = JSON.stringify(
  Array.from({ length: 40 }, (_, id) => ({ id, name: `item ${id}`, tags: ["a", "b", String(id)], ratio: id / 7 }))
)

const kernel = (): number => JSON.stringify(JSON.parse(input)).length

/** How long the kernel takes now, in milliseconds: the least of three runs, which is the one that was disturbed least. */
export const calibrate = (now: () => number): number => {
  let least = Infinity
  for (let run = 0; run < 3; run++) {
    const started = now()
    kernel()
    least = Math.min(least, now() - started)
  }
  return least
}
