/** Sanitizes text for a model or a terminal: visible characters remain, active ones do not. */

/** Escape sequences of terminals: CSI, strings such as OSC with and without a terminator, and single ones. */
const sequences =
  /(?:\u001b\[|\u009b)[0-?]{0,64}[ -/]{0,16}[@-~]?|(?:\u001b[\]PX^_]|[\u0090\u0098\u009d-\u009f])[^\u0007\u001b\u009c\n]{0,4096}(?:\u0007|\u001b\\|\u009c)?|\u001b[ -/]{0,4}[0-~]?/g

/**
 * Invisible characters and characters that change how others are displayed: controls, directions, joiners, tags, variation
 * selectors, annotations, fillers, the byte order mark, the soft hyphen, lone surrogates.
 */
const invisible =
  // oxlint-disable-next-line no-misleading-character-class
  /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\u{13430}-\u{1345f}\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]|\p{Surrogate}/gu

/**
 * A joiner or a variation selector of an emoji (`emoji, ZWJ, emoji`), and a joiner between letters of a script that uses
 * joiners. At most one, and only between two characters that it joins.
 */
const joined =
  /(?<=\p{Extended_Pictographic}|[#*0-9]|\p{Emoji_Modifier})\ufe0f|(?<=[\p{Extended_Pictographic}\p{Emoji_Modifier}\ufe0f])\u200d(?=\p{Extended_Pictographic})|(?<=[\p{Script=Arabic}\p{Script=Devanagari}\p{Script=Bengali}\p{Script=Gurmukhi}\p{Script=Gujarati}\p{Script=Oriya}\p{Script=Tamil}\p{Script=Telugu}\p{Script=Kannada}\p{Script=Malayalam}\p{Script=Sinhala}\p{Script=Khmer}\p{Script=Myanmar}])[\u200c\u200d](?=[\p{Script=Arabic}\p{Script=Devanagari}\p{Script=Bengali}\p{Script=Gurmukhi}\p{Script=Gujarati}\p{Script=Oriya}\p{Script=Tamil}\p{Script=Telugu}\p{Script=Kannada}\p{Script=Malayalam}\p{Script=Sinhala}\p{Script=Khmer}\p{Script=Myanmar}])/gu

/** Most texts match none of the patterns above, which take time to compile. */
const suspicious = /[^\u0020-\u007e\n\u00a1-\u00ac\u00ae-\u02ff]/

const withoutInvisible = (text: string, replacement: (character: string) => string): string => {
  if (!suspicious.test(text)) return text.replaceAll("\n", replacement)
  // Matched before a removal, which could join other characters.
  const retained = new Set<number>()
  for (const match of text.matchAll(joined)) retained.add(match.index)
  return text.replace(invisible, (character, index: number) =>
    retained.has(index) ? character : replacement(character)
  )
}

/** In UTF-16 units, as in JSON. */
const hexadecimal = (text: string): string =>
  text === "\n"
    ? "\\n"
    : text
        .split("")
        .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
        .join("")

/**
 * Writes every active or invisible character as an escape, such as `\u001b`, without loss, for logs and JSON. A line
 * break becomes `\n`; all joiners are escaped.
 */
export const escape = (text: string): string =>
  suspicious.test(text) || text.includes("\n") ? text.replace(invisible, hexadecimal) : text

const space = (character: string): string => (/[\t-\r\u0085\u2028\u2029]/.test(character) ? " " : "")

/** One line, without escape sequences and invisible characters. */
export const line = (text: string): string => {
  const plain = suspicious.test(text) ? text.replace(sequences, "") : text
  return withoutInvisible(plain, space).replace(/\s+/g, " ").trim()
}

/** As `line`, with all spaces, for a terminal: a line break becomes a space. */
export const visible = (text: string): string =>
  suspicious.test(text) || text.includes("\n") ? withoutInvisible(text.replace(sequences, ""), space) : text

/** Coloured lines for a terminal: of the escape sequences, only colours remain. */
export const styled = (text: string): string =>
  text
    .split("\n")
    .map((line) =>
      line
        .split(/(\u001b\[[0-9;]{0,20}m)/)
        .map((part, index) => (index % 2 === 1 ? part : visible(part)))
        .join("")
    )
    .join("\n")

/** Names in markup that agents and models trust as the client's own. */
const tags =
  "(?:(?:[a-z]{1,20}[-_:\\s]{1,3}){0,3}(?:system|reminder|hook|hooks|context|command|commands|notification|notifications|output|outputs|function|functions|calls?|invoke|parameters?|instructions?|environment|permissions?|tool|tools|tooluse|results?|use|stdout|stderr|caveat|message|messages|assistant|user|human|developer|policy|thinking|antml|memory|session|prompt|channel|teammate|analysis|summary|skill|skills|collaboration|mode|model|role|bash|input|local|task|persisted|athena)(?:[-_:\\s]{1,3}[a-z]{1,20}){0,4})"

const opening = "(?:<|＜|﹤|‹|&(?:amp;)?(?:lt|#0{0,4}60|#x0{0,4}3c);?|\\\\u003c|%3c)"
let compiledMarkup: RegExp | undefined
const markup = () => (compiledMarkup ??= new RegExp(`${opening}(?=[\\s/\\\\!|?]{0,5}${tags})`, "gi"))
/** A truncated text may lack the end of a token, so one that begins directly with a letter needs none. */
const special =
  /<[|｜](?=[a-z_])|<\s{0,3}[|｜]\s{0,3}(?=[^<>\n]{1,60}[|｜]\s{0,3}>)|<\s{0,3}(?=\/?\s{0,3}s\s{0,3}>)|<(?=(?:start|end)_of_turn|\/?(?:begin|end)_of_text)/gi
const bracketed =
  /\[(?=\s{0,3}\/?\s{0,3}(?:INST|SYS|SYSTEM|USER|ASSISTANT|TOOL_?\w{0,20}|AVAILABLE_TOOLS|END)\b[^\]\n]{0,40}\])/gi
const doubled = /<{2,}|>{2,}/g
const role = /(^|[\n.;!?…:]\s{0,8}|\s{2,})(human|assistant|system|user|developer|tool|ai|model)(\s{0,3}):/gi
const codeBlock = /`{3,}|~{3,}/g

/**
 * Neutralizes the markup with which clients frame their own messages, and preserves readability: `<` becomes `‹`,
 * `[INST]` becomes `(INST]`, a leading `Human:` becomes `Human -`.
 */
const neutralized = (text: string): string =>
  /[<＜﹤‹&\\%[`~:]/.test(text)
    ? text
        .replace(markup(), "‹")
        .replace(special, "‹")
        .replace(doubled, (run) => (run[0] === "<" ? "‹" : "›"))
        .replace(bracketed, "(")
        .replace(codeBlock, "'''")
        .replace(role, "$1$2 -")
    : text

/** One visible line for a model, without the markup of clients. */
export const forModel = (text: string): string =>
  // Removals may complete markup, so markup is matched after them; roles begin a line, so they are matched before the
  // lines are joined.
  neutralized(
    text
      .split(/[\n\r\v\f\u0085\u2028\u2029]+/)
      .map((part) => line(part).normalize("NFC").replace(role, "$1$2 -"))
      .filter((part) => part !== "")
      .join(" ")
  )

/** A name in quotes, which can't end early. */
export const quoted = (name: string): string => `"${forModel(name).replace(/["“”„‟″]/g, "'")}"`
