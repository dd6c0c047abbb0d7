/** The maximum size of a hook payload, in bytes. */
export const maxPayloadBytes: number = 16 * 1024 * 1024
