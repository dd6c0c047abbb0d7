/**
 * The rule for preferences: sentences in which a user states how something is always to be done, word for word.
 *
 * Patterns in Chinese, Dutch, English, French, German, Italian, Japanese, Korean, Polish, Portuguese, Russian and Spanish.
 * Code, quoted lines, questions, and sentences about one file or one occasion are excluded.
 *
 * @since 0.1.0
 */
import type { Observation } from "./Fact.ts"
import { isUserPrompt, type SessionEvent, wordsOf } from "./SessionEvent.ts"

/** The bounds of a word in any script, which `\b` has for ASCII only. */
const word = (source: string) => new RegExp(`(?<![\\p{L}\\p{N}_])(?:${source})(?![\\p{L}\\p{N}_])`, "iu")

/** The beginning of a clause: there, "always" and "never" begin a rule and do not describe an observation. */
const clause =
  "(?:^|[,;:.!–-]\\s*|(?<![\\p{L}\\p{N}_])(?:and|but|please|should|must|you|to|und|et|y|e|i|en|и|а|но)\\s+)(?:please,?\\s+|bitte\\s+|пожалуйста,?\\s+|por favor,?\\s+)?"

const atClause = (source: string) => new RegExp(`${clause}(?:${source})(?![\\p{L}\\p{N}_])`, "iu")

const patterns: ReadonlyArray<RegExp> = [
  // English
  word("(?:i|we)(?:'d)? (?:\\w+ )?prefer"),
  word("from now on|from here on|going forward"),
  atClause(
    "(?:always|never) (?!mind|again|been|had|seen|gets?|got|fails?|failed|returns?|returned|works?|worked|happens?|happened|crashes|crashed|seems?|the|an?|in|on|to)\\p{L}+"
  ),
  word("we (?:always|never) (?!got|get|had|see|saw|know|knew|been)\\p{L}+"),
  word("(?:don['’]?t|do not) ever"),
  word("use \\S+(?: \\S+){0,4}?,? (?:instead of|rather than|not) \\S+"),
  word("stop (?:using|adding|doing|writing|creating|committing|running|putting|making)"),
  word("(?:i|we) (?:don['’]?t|do not|never) want (?:to see )?.{0,60}(?:again|any ?more|ever)"),
  word("(?:my|our|a|the) (?:rule|convention|policy)(?: \\S+){0,3} ?(?:is|:)"),
  word("rule for the future"),
  // German
  word("ab jetzt|von jetzt an|ab sofort|künftig|in zukunft|nie wieder"),
  word(
    "ich (?:bevorzuge|mag lieber|hätte lieber|will immer|möchte immer)|wir (?:bevorzugen|nehmen immer|verwenden immer)"
  ),
  atClause("(?:nimm|verwende|benutze?|nutze?|schreibe?|mach|setze?|lass)(?: \\S+){0,3} (?:immer|nie(?:mals)?)"),
  atClause("(?:immer|nie(?:mals)?) (?:\\S+ ){0,3}\\p{L}{2,}en"),
  word("(?:nimm|verwende|benutze?|nutze?|schreibe?)(?: \\S+){0,5} (?:statt|anstatt|anstelle)"),
  // French
  word("(?:je|on|nous) préf(?:ère|érons)|désormais|dorénavant|à partir de maintenant"),
  word("(?:utilise|écris|mets|fais|prends|garde)[rz]?(?: \\S+){0,6} (?:toujours|jamais|plutôt que|au lieu de)"),
  word(
    "(?:utilise|écris|mets|fais|prends|garde)[rz]? (?:toujours|jamais)|ne \\S+ jamais|n['’]\\S+ jamais|arrête d[e']"
  ),
  // Spanish, Portuguese, Italian
  word("prefiero|preferimos|a partir de ahora|de ahora en adelante|deja de \\p{L}+r"),
  word("(?:siempre|nunca) (?:usa|utiliza|escribe|haz|uses|utilices|escribas|hagas|usar)"),
  word("(?:usa|utiliza|escribe)(?: \\S+){0,5} (?:siempre|en vez de|en lugar de)"),
  word("prefiro|preferimos|a partir de agora|de agora em diante|pare de \\p{L}+r"),
  word("(?:sempre|nunca) (?:use|usa|usar|escreva|faça)|(?:use|escreva)(?: \\S+){0,5} (?:sempre|em vez de|ao invés de)"),
  word("preferisco|preferiamo|d['’]ora in poi|smetti di"),
  word("(?:usa|scrivi)(?: \\S+){0,5} (?:sempre|invece di)|non \\S+(?:are|ere|ire) mai"),
  // Dutch, Polish
  word("voortaan|ik heb liever|(?:gebruik|schrijf)(?: \\S+){0,5} (?:altijd|nooit|in plaats van)"),
  word("od teraz|wolę|(?:zawsze|nigdy nie) (?:używaj|pisz|rób|dodawaj)|używaj(?: \\S+){0,5} zamiast"),
  // Russian
  word("отныне|впредь|с этого момента|предпочитаю|мы предпочитаем"),
  atClause("(?:всегда|никогда не) \\p{L}+(?:й|йте|ь|ьте|и|ите)"),
  word("(?:используй|пиши|бери)(?:те)?(?: \\S+){0,5} (?:вместо|а не|всегда)"),
  word("больше (?:никогда )?не \\p{L}+(?:й|йте|ь|ьте|и|ите)"),
  // Chinese, Japanese, Korean
  /以后|从现在起|从今以后|今后|一律|统一(?:用|使用|采用)|(?:总是|始终|永远)(?:要|用|使用|不要)|(?:不要|别|禁止|不许)再?(?:用|使用)|优先(?:用|使用)|用.{1,20}(?:而不是|代替)|我(?:们)?(?:更)?(?:喜欢|偏好)/,
  /今後は|これからは|以降は.*(?:て|こと)|(?:常に|必ず|いつも).{0,40}(?:て(?:ください|ね|くれ)?|こと)(?:$|[。、!])|(?:ではなく|じゃなくて|の代わりに).{0,30}(?:使って|使う|書いて)|(?:絶対に|二度と).{0,40}(?:ないで|しない|禁止)|ほうが好き/,
  /앞으로(?:는)?|항상.{0,40}(?:해|하세요|사용|써)|절대.{0,40}(?:마|말|금지)|대신.{0,30}(?:사용|써)/
]

/** A wish for one file or one occasion. */
const narrow =
  /\b(?:in|for|on) this (?:file|function|case|test|one|branch|pr|commit|method|class)\b|\bjust (?:here|this)\b|\bonly here\b|\bthis time\b|\bfor now\b|\bnur hier\b|\bdiesmal\b|in dieser datei|dans ce fichier|cette fois|en este archivo|esta vez|in questo file|questa volta|в этом файле|на этот раз|这个文件|这次|このファイル|今回は|이번에/i

const question =
  /[?？]\s*$|^(?:why|what|how|when|where|which|who|should|can|could|do|does|is|are|warum|wieso|was|wie|pourquoi|comment|est-ce|por qué|почему|как|зачем)\s/iu

/** Removes code blocks and quoted lines. */
const prose = (text: string): string =>
  text
    .replace(/```[^]*?(?:```|$)/g, "\n")
    .replace(/^\s*>.*$/gm, "")
    .replace(/<(\w+)[^>]*>[^]*?<\/\1>/g, " ")

const sentences = (text: string): ReadonlyArray<string> =>
  prose(text)
    .split(/(?<=[.!?])\s+|(?<=[。！？])|\n+/u)
    .map((sentence) => sentence.replace(/^[-*\d.)\s]+/, "").trim())
    .filter((sentence) => sentence !== "")

/** Replaces quoted text and inline code by equally long filler, so that no pattern matches in it. */
const masked = (sentence: string): string =>
  sentence.replace(/"[^"]*"|“[^”]*”|«[^»]*»|„[^“]*“|`[^`]*`|「[^」]*」/g, (quoted) => "q".repeat(quoted.length))

const maxSentence = 400

/** Longer prompts are mostly pasted documents. */
const maxPrompt = 1_500

/**
 * Whether a sentence states a standing preference.
 *
 * @category combinators
 * @since 0.1.0
 */
export const isPreference = (sentence: string): boolean =>
  sentence.length <= maxSentence &&
  !question.test(sentence) &&
  !narrow.test(sentence) &&
  patterns.some((pattern) => pattern.test(masked(sentence)))

const alternative =
  /([\p{L}\p{N}@./_-]+)["”»`]?,?\s+(?:instead of|rather than|not|statt|anstatt|plutôt que|au lieu de|en vez de|en lugar de|em vez de|invece di|in plaats van|zamiast|вместо|а не)\s+["“«`]?([\p{L}\p{N}@./_-]+)/iu

/** Two wishes that compare the same two things have one subject, others by their words. */
const subjectOf = (sentence: string): string => {
  const pair = alternative.exec(sentence)
  return (
    pair === null
      ? `words ${[...wordsOf(sentence)].toSorted().join(" ")}`
      : `choice ${[pair[1]!.toLowerCase(), pair[2]!.toLowerCase()].toSorted().join(" ")}`
  ).slice(0, 200)
}

/**
 * The preferences that the prompts of one session state.
 *
 * @category combinators
 * @since 0.1.0
 */
export const observe = (events: ReadonlyArray<SessionEvent>): ReadonlyArray<Observation> =>
  events
    .filter((event) => isUserPrompt(event) && event.content.length <= maxPrompt)
    .flatMap((event) =>
      sentences(event.content)
        .filter(isPreference)
        .map((sentence) => ({
          kind: "preference",
          subject: subjectOf(sentence),
          text: sentence,
          source: "derived",
          evidence: { sessionId: event.sessionId, ids: [event.id], from: event.timestamp, at: event.timestamp }
        }))
    )
