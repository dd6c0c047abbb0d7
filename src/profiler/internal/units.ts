/** Formats figures for people: three significant digits and a unit. */

const digits = (value: number): string =>
  value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)

const scaled = (value: number, steps: ReadonlyArray<readonly [from: number, unit: string]>): string => {
  const [from, unit] = steps.find(([from]) => value >= from) ?? steps.at(-1)!
  return `${digits(value / from)} ${unit}`
}

/** A time in milliseconds. */
export const ms = (value: number): string =>
  value === 0
    ? "0"
    : scaled(value, [
        [60_000, "min"],
        [1_000, "s"],
        [1, "ms"],
        [1e-3, "us"],
        [1e-6, "ns"]
      ])

export const bytes = (value: number): string =>
  value < 2 ** 10
    ? `${value.toFixed(0)} B`
    : scaled(value, [
        [2 ** 30, "GiB"],
        [2 ** 20, "MiB"],
        [2 ** 10, "KiB"]
      ])

/** A whole number, with a comma at every thousand. */
export const count = (value: number): string => value.toFixed(0).replace(/\B(?=(\d{3})+$)/g, ",")

/** A number that may have a fraction. */
export const amount = (value: number): string =>
  Number.isInteger(value) ? count(value) : value >= 1_000 ? count(value) : Number(value.toPrecision(3)).toString()

export const percent = (part: number): string => `${digits(part * 100)} %`
