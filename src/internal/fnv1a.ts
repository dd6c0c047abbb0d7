/**
 * The 32-bit FNV-1a hash of a text's UTF-16 units, as eight hexadecimal digits. It disambiguates texts that share a
 * name or an id. Hashes are stored, so the function must never change.
 */
export const fnv1a = (text: string): string => {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return (hash >>> 0).toString(16).padStart(8, "0")
}
