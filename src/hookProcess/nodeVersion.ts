/** What is wrong with a version of Node.js; nothing where it will do. */
export const problemOf = (version: string): string | undefined => {
  const [major = 0, minor = 0] = version.split(".").map(Number)
  return major < 22 || (major === 22 && minor < 19)
    ? `athena needs Node.js 22.19 or newer; this is v${version}`
    : undefined
}
