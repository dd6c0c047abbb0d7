/**
 * The output of a program: nothing, or context for the model.
 *
 * @since 0.1.0
 */

/**
 * The output of a program; an adapter encodes it as a response.
 *
 * @category models
 * @since 0.1.0
 */
export interface HookOutput {
  /** Text for the model; at most `ContextText.maxLength` UTF-16 units. */
  readonly context: string | undefined
  /** A line for the log or standard error: something failed, and the output is still valid. */
  readonly notice?: string | undefined
  /**
   * A line that the agent displays to its user and hides from the model. Agents display one at a session's start and at
   * a prompt; at other events it is dropped.
   */
  readonly message?: string | undefined
}

/**
 * The output without context.
 *
 * @category constructors
 * @since 0.1.0
 */
export const empty: HookOutput = { context: undefined }

/**
 * An output with context; `empty` for an empty text.
 *
 * @category constructors
 * @since 0.1.0
 */
export const context = (text: string): HookOutput => (text === "" ? empty : { context: text })
