/**
 * Classification of names: whether the name of a setting, a variable, a field or a flag promises a secret value. Names
 * are common in every text, so they are looked up word by word: patterns would take longer to compile than all else.
 */

/**
 * - `password`: a person may have chosen the value, so it may be a word.
 * - `secret`: most values are random.
 * - `key`: it may also be the key of a map, so only a random value counts.
 */
export type Kind = "password" | "secret" | "key"

const words = (text: string): ReadonlySet<string> => new Set(text.split(" "))

const passwordEnds =
  "password passwort passwd passphrase passcode passwrd kennwort contrasena contraseña senha parola haslo hasło wachtwoord motdepasse lozinka heslo losenord pswd pwd".split(
    " "
  )

const passwordWords = words("pass pw psw mdp")

const passwordOwners = words("user db my root admin smtp ftp mail redis mysql pg ssh key store sudo http proxy")

const secretEnds =
  "secret token credential credentials bearer jwt auth apikey authkey secretkey accesskey privatekey privkey cookie signature connectionstring connectionstr connstring connstr webhook sessionid sessioncookie seedphrase".split(
    " "
  )

const secretWords = words("pat sid sig sas dsn salt pepper otp seed mnemonic session sessid phpsessid jsessionid")

const keyOwners =
  "api app application access private priv account storage encryption encrypt cipher crypto aes hmac signing sign master shared service license licence auth client deploy session consumer webhook admin write read ingest project server sas ssh gpg pgp tls ssl subscription function functions host root data backup vault registration integration personal role product publishable restricted live prod production".split(
    " "
  )

const codeOwners = words("access auth recovery backup security device")

/** The last word of a name whose value describes a secret. */
const aboutWords = words(
  "name names ref type types url uri urls endpoint limit limits count counts length len size max min expiry expires expiration expired ttl path paths file files filename dir directory folder policy field fields input label hint error errors message manager service provider store storage class index list format pattern regex schema strategy strength reset required enabled disabled visible visibility header headers prefix suffix budget usage used per version algorithm rotation placeholder kind address arn id ids alias page form link method mode scope scopes source stdin status state validator validation generator getter factory callback handler helper helpers util utils test tests spec doc docs template column table map set cache queue bucket pool stream parser cost price rate window at date time age offset position pos start end line env var variable variables exists valid invalid missing changed match matches needed only by of for in is has kwargs args options config param params settings module import request response event action reducer props component view icon text title description rounds encoding usages exchange supplier keyring chain ring board word words fn func sep separator mask masks datatype lifetime interval duration seconds minutes hours days ms"
)

/** Words before a token, a key or a session that is not secret. */
const aboutBefore = words(
  "max min num total avg prompt completion cached reasoning public pub primary foreign unique sort partition cache idempotency object row map composite lookup translation i18n dictionary pad eos bos sep cls special stop mask unk next page continuation cancellation cancel design css is has no use with without show hide toggle validate check verify forgot forgotten reset change update generate create get set encode decode hash parse remove delete n hot short press arrow enter react item list group query storage event data dict json yaml config env prop attr attribute column field index search filter first last prev previous current peek consume expect eat add"
)

const aboutNouns = words(
  "token tokens key keys keyword keywords auth auths session sessions signature signatures cookie cookies seed seeds"
)

const clearlySecret = words(
  "access_key api_key private_key secret_key access_token auth_token api_token bot_token apikey accesskey privatekey secretkey accesstoken authtoken apitoken bottoken"
)

const isUpper = (unit: number): boolean => unit >= 65 && unit <= 90
const isLower = (unit: number): boolean => unit >= 97 && unit <= 122
const isDigit = (unit: number): boolean => unit >= 48 && unit <= 57

/** The words of a name in lower case, split at separators and humps. */
const wordsOf = (name: string): Array<string> => {
  const parts: Array<string> = []
  let start = -1
  for (let at = 0; at <= name.length; at++) {
    const unit = at < name.length ? name.charCodeAt(at) : 0
    const isPart = isUpper(unit) || isLower(unit) || isDigit(unit) || unit >= 0xc0
    if (!isPart) {
      if (start >= 0) parts.push(name.slice(start, at).toLowerCase())
      start = -1
      continue
    }
    if (start < 0) start = at
    else if (isUpper(unit)) {
      const before = name.charCodeAt(at - 1)
      if (isLower(before) || isDigit(before) || (isUpper(before) && isLower(name.charCodeAt(at + 1)))) {
        parts.push(name.slice(start, at).toLowerCase())
        start = at
      }
    }
  }
  return parts
}

const withoutDigits = (word: string): string => {
  let end = 0
  while (end < word.length && !isDigit(word.charCodeAt(end))) end++
  return word.slice(0, end)
}

const endsWithAny = (word: string, ends: ReadonlyArray<string>): boolean => ends.some((end) => word.endsWith(end))

const isPassword = (word: string, previous: string): boolean =>
  passwordWords.has(word) ||
  endsWithAny(word, passwordEnds) ||
  (word.endsWith("pass") && passwordOwners.has(word.slice(0, -4))) ||
  (word.endsWith("pw") && passwordOwners.has(word.slice(0, -2))) ||
  (word === "passe" && previous === "de")

const isSecret = (word: string, previous: string): boolean => {
  if (secretWords.has(word) || endsWithAny(word, secretEnds)) return true
  switch (word) {
    case "key":
    case "keys":
      return endsWithAny(previous, keyOwners)
    case "code":
    case "codes":
      return codeOwners.has(previous)
    case "str":
    case "string":
      return previous.endsWith("connection") || previous.endsWith("conn")
    case "phrase":
      return previous === "seed"
  }
  const owner = word.endsWith("key") ? word.slice(0, -3) : word.endsWith("keys") ? word.slice(0, -4) : ""
  return owner !== "" && endsWithAny(owner, keyOwners)
}

/** Returns the kind of secret that a name promises, or `undefined`. */
export const kindOf = (name: string): Kind | undefined => {
  const parts = wordsOf(name)
  const last = parts.at(-1)
  if (last === undefined || (parts.length > 1 && aboutWords.has(last))) return undefined
  const plain = parts.map(withoutDigits)
  const some = (test: (word: string, previous: string) => boolean): boolean =>
    plain.some((word, at) => word !== "" && test(word, at === 0 ? "" : parts[at - 1]!))
  if (some(isPassword)) return "password"
  if (parts.length > 1 && aboutNouns.has(last) && parts.slice(0, -1).some((part) => aboutBefore.has(part))) {
    return some((word, previous) => clearlySecret.has(word) || clearlySecret.has(`${previous}_${word}`))
      ? "secret"
      : undefined
  }
  if (some(isSecret)) return "secret"
  return some((word) => word === "keys" || word.endsWith("key")) ? "key" : undefined
}

/** Whether a name is that of a setting: settings are in capitals. */
export const isSetting = (name: string): boolean => {
  for (let at = name.length - 1; at >= 0; at--) {
    const unit = name.charCodeAt(at)
    if (unit === 46 || unit === 36 || unit === 58) return at < name.length - 1 && isUpper(name.charCodeAt(at + 1))
    if (!isUpper(unit) && !isDigit(unit) && unit !== 95) return false
  }
  return isUpper(name.charCodeAt(0))
}
