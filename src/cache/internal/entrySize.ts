/**
 * About how many bytes values take in memory, as measured in V8 with 64-bit pointers: see `test/cache/Size.test.ts`.
 */

/** What a walk over a value looks at before it takes the rest for as large as what it saw. */
const maxNodes = 10_000

/** The sizes of what V8 makes, in bytes, without what it holds. */
const stringHeader = 20
const heapNumber = 16
const arrayHeader = 48
const objectHeader = 24
const pointer = 8
const dateObject = 96
const collectionHeader = 160
const collectionSlot = 40
const typedArrayHeader = 300

const isOneByte = (text: string): boolean => !/[^\u0000-\u00ff]/.test(text)

/** A text takes one byte a character where all of its characters have codes up to 255. */
export const ofText = (text: string): number => stringHeader + text.length * (isOneByte(text) ? 1 : 2)

const ofNumber = (value: number): number => (Number.isInteger(value) && Math.abs(value) < 2 ** 31 ? 0 : heapNumber)

/** What an object takes by itself; what it holds is put to what is to be looked at. */
const ofObject = (value: object, pending: Array<unknown>): number => {
  if (ArrayBuffer.isView(value)) return typedArrayHeader + value.byteLength
  if (value instanceof Date) return dateObject
  if (value instanceof Map || value instanceof Set) {
    for (const item of value instanceof Map ? value.entries() : value) {
      if (value instanceof Map) pending.push(...(item as Iterable<unknown>))
      else pending.push(item)
    }
    return collectionHeader + value.size * collectionSlot
  }
  const items: ReadonlyArray<unknown> = Array.isArray(value) ? value : Object.values(value)
  for (const item of items) pending.push(item)
  return (Array.isArray(value) ? arrayHeader : objectHeader) + items.length * pointer
}

const ofValue = (value: unknown, pending: Array<unknown>): number => {
  switch (typeof value) {
    case "string":
      return ofText(value)
    case "number":
      return ofNumber(value)
    case "bigint":
      return heapNumber + pointer
    case "object":
      return value === null ? 0 : ofObject(value, pending)
    default:
      return 0
  }
}

/** About how many bytes a value takes in memory. */
export const estimate = (value: unknown): number => {
  const pending: Array<unknown> = [value]
  let bytes = 0
  for (let seen = 0; pending.length > 0; seen++) {
    if (seen >= maxNodes) return bytes + pending.length * Math.ceil(bytes / seen)
    bytes += ofValue(pending.pop(), pending)
  }
  return bytes
}
