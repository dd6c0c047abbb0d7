/**
 * Whether a value is a secret, or what stands in the place of one: code, a placeholder, a word of a sentence.
 */

/** Words of which an identifier or a sentence consists, as `tokenIndex` or `v2-beta` does, are at most this short. */
const segment = /[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+/g

/** A run of consonants as no word has it. */
const unspeakable = /[bcdfghjklmnpqrstvwxz]{6}/i

const isWord = (part: string): boolean => {
  const segments = part.match(segment)?.length ?? 1
  return (
    part.length / segments >= 3 && !unspeakable.test(part) && !/\d{5}/.test(part) && !/[a-zA-Z]\d+[a-zA-Z]/.test(part)
  )
}

/** Whether a text was made by a machine: not out of words, as names and sentences are. */
export const isRandom = (text: string): boolean => {
  let random = 0
  for (const part of text.slice(0, 64).split(/[^A-Za-z0-9]+/)) if (part !== "" && !isWord(part)) random += part.length
  return random >= 6
}

/** Hashes and ids, which look random and are no secret by themselves. */
const publicId =
  /^(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|sha(?:1|256|384|512)-[\w+/=]+|sha256:[0-9a-f]{64})$/i

export const isPublicId = (text: string): boolean => publicId.test(text)

/** Words of which a list costs nothing to look up: as a pattern, it takes longer to compile than all else. */
const words = (text: string): ReadonlySet<string> => new Set(text.split(" "))

const emptyWords = words(
  "null nil none true false yes no on off undefined unset empty default string number boolean bool any unknown never void object bytes text varchar char str int include omit bearer basic"
)

const repeated = /^([*x._?-])\1*$/

/** A marker, a variable or a reference, in lower case. */
const reference =
  /^(?:<[^>]*>?|\[[^\]]*\]|\{\{?[^}]*\}{0,2}|\$\{?[a-z_({].*|\$\d|%\w+%|#\{.*|@[\w.{].*|&\w+|!\w+ .*|env[:.(].*|op:\/\/.*|vault:.*|ref\+.*|arn:.*|secretkeyref.*|file:.*|#[0-9a-f]{3,8}|[\^~]?\d{1,5}(?:\.\d{1,5}){1,3})$/

const substitutes = ["example", "placeholder", "dummy", "redacted", "****", "xxxxx", "...", "…"]

const request =
  /(?:^|[<_ ])your[-_ ]|[-_]here$|change[-_]?(?:me|it|this)|replace[-_]?(?:me|with|this)|insert[-_]|to[-_]?do\b/

const isStandIn = (lower: string): boolean =>
  emptyWords.has(lower) ||
  repeated.test(lower) ||
  reference.test(lower) ||
  substitutes.some((text) => lower.includes(text)) ||
  request.test(lower)

/** Names of types have digits in them. */
const typeName =
  /^(?:u?int(?:8|16|32|64)|float\d|0x[0-9a-f]{1,8}$|schema\.)|^[a-z.]{0,40}(?:array|session|buffer|frombase64|fromhex)\b/

const algorithm =
  /^(?:hmac|rsa|ecdsa|ed25519|x25519|aes|sha|md5|pbe|hs|rs|es|ps|pbkdf2|scrypt|bcrypt|argon2|base64|utf|oauth|dsa)\d{0,4}(?:with[a-z\d]{2,24})?$/

/** The name of an algorithm, such as `rsa-sha256` or `PBEWithMD5AndDES`, in lower case. */
const isAlgorithm = (lower: string): boolean => {
  const parts = lower.split(/[-_.]/, 9)
  const named = parts.findIndex((part) => algorithm.test(part))
  return (
    named >= 0 &&
    named <= 3 &&
    parts.length <= named + 4 &&
    parts.every((part, at) =>
      at < named ? /^[a-z\d]{1,12}$/.test(part) : at === named || /^(?:[a-z]{2,6}|\d{1,4}|sha\d{1,3})$/.test(part)
    )
  )
}

export const isPlaceholder = (value: string): boolean => {
  const lower = value.toLowerCase()
  return isStandIn(lower) || (value.length <= 48 && (typeName.test(lower) || isAlgorithm(lower)))
}

/** A call, a member, an element, a type, a path: what stands for a value and is none. */
const code =
  /^[A-Za-z_$][\w$]*(?:(?:\??\.|::|->)[A-Za-z_$][\w$]*)+[!?]?(?:[([{<].*)?$|^[A-Za-z_$][\w$]*[([<{`].*$|^(?:new|await|yield\*?|not|typeof|function|async|lambda)$|^[([{&*!].*$|^(?:\.{0,2}|~)\/[\w./ -]*$|^[A-Za-z]:\\|^https?:\/\/[^@]*$|=>|^\w+\($|^\/[(^[\\]/

const member = /^[A-Za-z_$][\w$]*(?:(?:\??\.|::|->)[A-Za-z_$][\w$]*)+$/

export const isCode = (value: string): boolean => code.test(value) && !(member.test(value) && isRandom(value))

/** What an identifier for a secret is called, and not the secret. */
const secretWord =
  /pass(?:word|wd|phrase|code)?|pwd|secret|token|key|credential|auth|cookie|session|jwt|hash|value|param|input|field|config|option|env|user|string|data|text|result|response|request|header|body|name|buffer|bytes|random|generate|current|previous|next/i

export const isIdentifier = (value: string): boolean =>
  /^[A-Za-z_$][\w$-]*$/.test(value) && secretWord.test(value) && !isRandom(value)

/** Words by which a sentence continues. */
const sentenceWords = words(
  "a an and are at as be been but by can cannot do does enter for from has have if in incorrect invalid is it its least may missing more must need needs new no not of on only or optional please required see set should so than that the their then there this to too used using was when where which will with without wrong you your"
)

/** Words by which a sentence continues if they are the whole value, as in `password: expired`. */
const commonWords = words(
  "above again all already always any below changed checked correct encrypted expired expires file forgotten generated good handling hashed here hidden just kept leaked length limited lost management manager mandatory masked never now null old parsing policy protected protection read rejected removed reset revoked rotated rotation safe same sent shown strong stored strength stale supported taken unused updated valid validation visible weak what written kein nicht falsch abgelaufen ist wird est pas incorrecta es non errata"
)

/** Whether a text in lower case has a word by which a sentence continues. */
const hasSentenceWord = (lower: string): boolean =>
  lower.split(/[\s"'(]/).some((part) => sentenceWords.has(part.split(/[.,;:!?)]/, 1)[0]!))

export const isSentence = (value: string): boolean => /\s/.test(value.trim()) && hasSentenceWord(value.toLowerCase())

/** A word that continues a sentence by itself, as in `password: must have` or `the token is needed`. */
export const isSentenceWord = (value: string): boolean => {
  const lower = value.toLowerCase()
  return hasSentenceWord(lower) || commonWords.has(lower)
}

export const hasDigit = (value: string): boolean => /\d/.test(value)

const hasSymbol = (value: string): boolean => /[^\w\s.,:;'"()[\]{}/\\-]/.test(value)

/** Whether a text that is not only words could be a password that a person chose. */
export const isMixed = (value: string): boolean =>
  (hasDigit(value) &&
    !/^\d{1,4}$/.test(value) &&
    !/^\d+(?:\.\d+)*(?:px|em|rem|ms|s|m|h|d|kb|mb|gb|%)?$/i.test(value)) ||
  hasSymbol(value) ||
  isRandom(value)
