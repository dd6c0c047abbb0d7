/**
 * A certificate that vouches for itself, made anew for each test.
 */
import { generateKeyPairSync, sign } from "node:crypto"

export interface Certificate {
  readonly certificate: string
  readonly privateKey: string
}

const der = (tag: number, ...parts: ReadonlyArray<Buffer>): Buffer => {
  const body = Buffer.concat(parts)
  const size = body.length
  const length = size < 0x80 ? [size] : size < 0x100 ? [0x81, size] : [0x82, size >> 8, size & 0xff]
  return Buffer.concat([Buffer.from([tag, ...length]), body])
}

const sequence = (...parts: ReadonlyArray<Buffer>) => der(0x30, ...parts)
const oid = (hex: string) => der(0x06, Buffer.from(hex, "hex"))
const integer = (value: number) => der(0x02, Buffer.from([value]))
const bits = (body: Buffer) => der(0x03, Buffer.from([0]), body)
const octets = (body: Buffer) => der(0x04, body)
const text = (value: string) => der(0x0c, Buffer.from(value))
const time = (value: string) => der(0x17, Buffer.from(value))

const ecdsaWithSha256 = sequence(oid("2a8648ce3d040302"))
const commonName = oid("550403")
const subjectAltName = oid("551d11")
const basicConstraints = oid("551d13")

/** For the loopback address and the name `localhost`; it can be trusted as its own authority. */
export const make = (): Certificate => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
  const name = sequence(der(0x31, sequence(commonName, text("localhost"))))
  const names = sequence(der(0x82, Buffer.from("localhost")), der(0x87, Buffer.from([127, 0, 0, 1])))
  const authority = sequence(der(0x01, Buffer.from([0xff])))
  const extensions = sequence(sequence(subjectAltName, octets(names)), sequence(basicConstraints, octets(authority)))
  const body = sequence(
    der(0xa0, integer(2)),
    integer(1),
    ecdsaWithSha256,
    name,
    sequence(time("200101000000Z"), time("491231235959Z")),
    name,
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, extensions)
  )
  const signed = sequence(body, ecdsaWithSha256, bits(sign("sha256", body, privateKey)))
  const lines = signed.toString("base64").replace(/.{64}(?=.)/g, "$&\n")
  return {
    certificate: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`,
    privateKey: privateKey.export({ type: "pkcs8", format: "pem" }) as string
  }
}
