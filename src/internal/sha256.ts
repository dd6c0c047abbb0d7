import { nodeBuiltin } from "./nodeBuiltin.ts"

/**
 * From this size on, in bytes, the hash of the runtime is used. Its module takes longer to load than a hook process takes
 * to hash a shorter text.
 */
const nativeFrom = 16_384

const primes = (count: number): ReadonlyArray<number> => {
  const found: Array<number> = []
  for (let n = 2; found.length < count; n++) if (found.every((prime) => n % prime !== 0)) found.push(n)
  return found
}

/** The first 32 bits of a number's fraction. */
const fraction = (n: number): number => Math.floor((n - Math.floor(n)) * 0x1_0000_0000)

const constants = Int32Array.from(primes(64), (prime) => fraction(Math.cbrt(prime)))
const initial = Int32Array.from(primes(8), (prime) => fraction(Math.sqrt(prime)))

const rotate = (n: number, by: number): number => (n >>> by) | (n << (32 - by))

const padded = (bytes: Uint8Array): DataView => {
  const view = new DataView(new ArrayBuffer(Math.ceil((bytes.length + 9) / 64) * 64))
  new Uint8Array(view.buffer).set(bytes)
  view.setUint8(bytes.length, 0x80)
  view.setUint32(view.byteLength - 4, bytes.length * 8)
  return view
}

const schedule = new Int32Array(64)

/** FIPS 180-4, 6.2.2. */
const compress = (state: Int32Array, view: DataView, offset: number): void => {
  const w = schedule
  for (let t = 0; t < 16; t++) w[t] = view.getInt32(offset + t * 4)
  for (let t = 16; t < 64; t++) {
    const x = w[t - 15]!
    const y = w[t - 2]!
    const s0 = rotate(x, 7) ^ rotate(x, 18) ^ (x >>> 3)
    const s1 = rotate(y, 17) ^ rotate(y, 19) ^ (y >>> 10)
    w[t] = w[t - 16]! + s0 + w[t - 7]! + s1
  }
  let a = state[0]!
  let b = state[1]!
  let c = state[2]!
  let d = state[3]!
  let e = state[4]!
  let f = state[5]!
  let g = state[6]!
  let h = state[7]!
  for (let t = 0; t < 64; t++) {
    const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + constants[t]! + w[t]!) | 0
    const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0
    h = g
    g = f
    f = e
    e = (d + t1) | 0
    d = c
    c = b
    b = a
    a = (t1 + t2) | 0
  }
  state[0]! += a
  state[1]! += b
  state[2]! += c
  state[3]! += d
  state[4]! += e
  state[5]! += f
  state[6]! += g
  state[7]! += h
}

const ofBytes = (bytes: Uint8Array): string => {
  const state = Int32Array.from(initial)
  const view = padded(bytes)
  for (let offset = 0; offset < view.byteLength; offset += 64) compress(state, view, offset)
  return Array.from(state, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("")
}

const encoder = new TextEncoder()

/** The SHA-256 hash of a text's UTF-8 bytes, as 64 hexadecimal digits. It is stored, so it must never change. */
export const sha256 = (text: string): string => {
  const native = text.length < nativeFrom / 3 ? undefined : nodeBuiltin("node:crypto")
  if (native !== undefined) return native.hash("sha256", text, "hex")
  return ofBytes(encoder.encode(text))
}
