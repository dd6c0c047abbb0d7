declare const __ATHENA_VERSION__: string

/** The version of this package; the build puts it in. */
export const version = typeof __ATHENA_VERSION__ === "string" ? __ATHENA_VERSION__ : "0.0.0"
