/** What a walk over a value looks at before it takes the rest for as large as what it saw. */
const maxNodes = 10_000

/** About how many bytes a value takes in memory. */
export const estimate = (value: unknown): number => {
  const pending: Array<unknown> = [value]
  let bytes = 0
  for (let seen = 0; pending.length > 0; seen++) {
    if (seen >= maxNodes) return bytes + pending.length * Math.ceil(bytes / seen)
    const next = pending.pop()
    bytes += 8
    if (typeof next === "string") bytes += next.length * 2
    else if (ArrayBuffer.isView(next)) bytes += next.byteLength
    else if (Array.isArray(next)) for (const item of next as ReadonlyArray<unknown>) pending.push(item)
    else if (typeof next === "object" && next !== null) {
      const keys = Object.keys(next)
      bytes += 16 + keys.length * 8
      for (const key of keys) pending.push((next as Record<string, unknown>)[key])
    }
  }
  return bytes
}
