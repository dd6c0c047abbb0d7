/** Returns whether the value of a variable switches something off: `off`, `false`, `0` or `no`, in any case. */
export const isOff = (value: string | undefined): boolean => /^(?:off|false|0|no)$/i.test(value ?? "")
