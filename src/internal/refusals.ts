/**
 * Recognises the report of a tool call that was not carried out: denied, rejected, interrupted, stopped by a hook, or
 * invalid. The text is the client's, whatever the tool.
 */

/** The length of the beginning or the end of a text in which the sentences of a client are searched. */
export const maxInspectedLength = 8_000

/** How a client begins its report of a call that was not carried out, whatever the tool. */
const refusals: ReadonlyArray<RegExp> = [
  // Denied by a rule, or not permitted yet.
  /^Permission (?:to use|for) \S.{0,2000}? (?:has been|was|is) denied/s,
  /^(?:Claude|The agent|The model) requested permissions? to \S.{0,4200}?, but you haven't granted it yet/s,
  /^(?:Tool|Command|Execution|Action) \S{0,200}\s?(?:is )?(?:denied|blocked|not allowed|rejected) by (?:policy|a rule|the user|user|permission)/i,
  /^Tool execution (?:was )?(?:denied|blocked|cancelled|canceled|rejected)/i,
  /^This (?:command|action|tool) requires approval\b/,
  // Rejected by the user.
  /^The user (?:doesn't|does not|didn't|did not) want to (?:proceed with this tool use|take this action)/,
  /^(?:The )?[Uu]ser (?:has )?(?:rejected|refused|denied|declined|cancelled|canceled) (?:the |this )?(?:tool|permission|request|operation|action|execution|command|edit|call)/,
  /^The agent proposed a plan that was rejected by the user/,
  /^(?:exec command |patch )?rejected by user\b/,
  /^\[Operation Cancell?ed\]/,
  // Broken off.
  /^\[Request interrupted by user/,
  /^(?:Error: )?(?:Tool (?:use|call|execution) )?(?:was )?[Ii]nterrupted by (?:the )?user\b/,
  /^(?:Error: )?(?:Request|Tool use|Tool call|Tool execution|Operation) was (?:aborted|cancelled|canceled|interrupted)/i,
  /^Cancell?ed: parallel tool call\b/,
  /^Cancell?ed (?:by user|by the user|because)\b/,
  /^aborted by user\b/,
  // Stopped by a hook.
  /^[A-Za-z]{1,40}(?::\S{1,200})? hook (?:blocking )?error\b.{0,400}?:/,
  /^Hook [A-Za-z]{1,40}(?::\S{1,200})? (?:denied|blocked|stopped|rejected) this tool/,
  /^(?:Tool (?:use|call|execution) )?(?:blocked|denied|prevented|stopped) by (?:a |the )?\S{0,60}\s?hook\b/i,
  // No such tool, no such input.
  /^(?:Error: )?No such tool available: /,
  /^Tool "[^"]{1,256}" not found(?: in registry)?\b/,
  /^(?:Error: )?InputValidationError: /,
  /^unsupported (?:custom tool )?call: /,
  /^failed to parse function arguments: /
]

const toolError = "<tool_use_error>"

/** The text of a refusal, `undefined` where the text is none. */
export const refusal = (text: string): string | undefined => {
  const whole = text.trimStart()
  if (whole.startsWith(toolError)) return whole.slice(toolError.length).replace(/<\/tool_use_error>[^]*$/, "")
  const start = whole.slice(0, maxInspectedLength)
  return refusals.some((pattern) => pattern.test(start)) ? whole : undefined
}
