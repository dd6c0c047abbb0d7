/**
 * What a hook answers: nothing, or context for the model.
 *
 * @since 0.1.0
 */

/**
 * What a hook answers.
 *
 * @category models
 * @since 0.1.0
 */
export interface HookOutput {
  /** Facts for the model; at most `ContextText.maxLength` UTF-16 units. */
  readonly context: string | undefined
  /** A line for a person: something went wrong, and the answer is given all the same. */
  readonly notice?: string | undefined
  /**
   * A line that the agent shows to its user and keeps from the model. It is told where an agent shows such lines to whom
   * they are for, when a session starts and when a prompt is sent, and at no other event.
   */
  readonly message?: string | undefined
}

/**
 * The answer that adds nothing.
 *
 * @category constructors
 * @since 0.1.0
 */
export const empty: HookOutput = { context: undefined }

/**
 * The answer that adds context; empty text adds nothing.
 *
 * @category constructors
 * @since 0.1.0
 */
export const context = (text: string): HookOutput => (text === "" ? empty : { context: text })
