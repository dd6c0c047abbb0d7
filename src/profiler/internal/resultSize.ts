/** Estimates the size of rows in bytes from the first ones. */

const maxRows = 10
const maxColumns = 50

const ofValue = (value: unknown): number => {
  if (typeof value === "string") return value.length
  if (ArrayBuffer.isView(value)) return value.byteLength
  return value === null || value === undefined ? 0 : 8
}

const ofRow = (row: unknown): number => {
  if (typeof row !== "object" || row === null) return ofValue(row)
  let bytes = 0
  // Getters are user code and are not executed.
  for (const key of Object.keys(row).slice(0, maxColumns)) {
    bytes += ofValue(Object.getOwnPropertyDescriptor(row, key)?.value)
  }
  return bytes
}

/** Strings count by length, binary values by bytes, numbers and nested objects as 8. */
export const ofRows = (rows: ReadonlyArray<unknown>): number => {
  const looked = rows.slice(0, maxRows)
  if (looked.length === 0) return 0
  return (looked.reduce<number>((bytes, row) => bytes + ofRow(row), 0) * rows.length) / looked.length
}
