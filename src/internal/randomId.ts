import * as SecureRandom from "effect/crypto/SecureRandom"

/** A unique text of 16 URL-safe characters. */
export const randomId = (): string => Buffer.from(SecureRandom.randomBytesUnsafe(12)).toString("base64url")
