/**
 * Terms as numbers of 48 bits, distinct per project: the index contains no text, and a posting list belongs to one project.
 *
 * The hash is that of the term, combined with that of the project by exclusive or: a merge of projects moves the terms
 * without their text. Hashes are stored, so the functions must never change.
 */

/** The upper 16 bits as a multiple. */
const high = 2 ** 32

/** cyrb53, by bryc, public domain: two multiplicative hashes that are mixed at the end. */
const hash = (text: string, seed: number): number => {
  let a = 0xdeadbeef ^ seed
  let b = 0x41c6ce57 ^ seed
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    a = Math.imul(a ^ unit, 2_654_435_761)
    b = Math.imul(b ^ unit, 1_597_334_677)
  }
  a = Math.imul(a ^ (a >>> 16), 2_246_822_507) ^ Math.imul(b ^ (b >>> 13), 3_266_489_909)
  b = Math.imul(b ^ (b >>> 16), 2_246_822_507) ^ Math.imul(a ^ (a >>> 13), 3_266_489_909)
  return (b & 0xffff) * high + (a >>> 0)
}

const xor = (a: number, b: number): number => (Math.floor(a / high) ^ Math.floor(b / high)) * high + ((a ^ b) >>> 0)

const ofProject = (projectId: number): number => hash(String(projectId), 1)

/** The function from a term to its hash in a project. */
export const inProject = (projectId: number): ((term: string) => number) => {
  const project = ofProject(projectId)
  return (term) => xor(hash(term, 0), project)
}

/** The function from a hash in one project to the hash of the same term in another. */
export const between = (from: number, into: number): ((hash: number) => number) => {
  const difference = xor(ofProject(from), ofProject(into))
  return (hash) => xor(hash, difference)
}

/** A token of the full-text table. */
export const token = (hash: number): string => hash.toString(36)

const bytes = 8

/** Term frequencies as bytes: of each term two for its count, six for its hash. */
export const encode = (frequencies: ReadonlyMap<number, number>): string => {
  const buffer = Buffer.allocUnsafe(frequencies.size * bytes)
  let at = 0
  for (const [hash, count] of frequencies) {
    buffer.writeUInt16BE(Math.min(count, 0xffff), at)
    buffer.writeUIntBE(hash, at + 2, 6)
    at += bytes
  }
  return buffer.toString("hex")
}

/** Calls the function for each term and its count. */
export const forEach = (encoded: Uint8Array, use: (hash: number, count: number) => void): void => {
  const view = new DataView(encoded.buffer, encoded.byteOffset, encoded.byteLength)
  for (let at = 0; at + bytes <= encoded.byteLength; at += bytes) {
    use(view.getUint16(at + 2) * high + view.getUint32(at + 4), view.getUint16(at))
  }
}
