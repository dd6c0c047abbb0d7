/** The largest payload of a hook that is read, in bytes. */
export const maxPayloadBytes: number = 16 * 1024 * 1024
