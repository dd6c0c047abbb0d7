/**
 * Whether the name of a setting, a variable, a field or a flag says that its value is a secret.
 */

/**
 * - `password`: a person may have chosen the value, so it may be a word.
 * - `secret`: a machine made it, mostly.
 * - `key`: it may as well be the key of a map; only a value that a machine made counts.
 */
export type Kind = "password" | "secret" | "key"

const password =
  /(?:password|passwort|passwd|passphrase|passcode|passwrd|kennwort|contrase(?:n|ñ)a|senha|parola|has(?:l|ł)o|wachtwoord|mot_?de_?passe|lozinka|heslo|losenord|pswd|pwd)(?:_|\d|$)|(?:^|_)(?:pass|pw|psw|mdp)(?:_|\d|$)|(?:user|db|my|root|admin|smtp|ftp|mail|redis|mysql|pg|ssh|key|store|sudo|http|proxy)_?(?:pass|pw)(?:_|\d|$)/

const secret =
  /(?:secret|token|credentials?|bearer|jwt|auth|apikey|authkey|secretkey|accesskey|privatekey|privkey|cookie|signature|connectionstring|connstr|webhook)(?:_|\d|$)|(?:api|app|application|access|private|priv|account|storage|encryption|encrypt|cipher|crypto|aes|hmac|signing|sign|master|shared|service|licen[sc]e|auth|client|deploy|session|consumer|webhook|admin|write|read|ingest|project|server|sas|ssh|gpg|pgp|tls|ssl|subscription|functions?|host|root|data|backup|vault|registration|integration|personal|publishable|restricted|live|prod|production)_?keys?(?:_|\d|$)|(?:^|_)(?:pat|sid|sig|sas|dsn|salt|pepper|otp|seed|mnemonic|session|sessid|phpsessid|jsessionid)(?:_|\d|$)|session_?(?:id|cookie)(?:_|\d|$)|(?:connection|conn)_str(?:ing)?(?:_|\d|$)|(?:access|auth|recovery|backup|security|device)_?codes?(?:_|\d|$)|seed_phrase/

const key = /(?:^|_)keys?(?:_|\d|$)|[a-z]key(?:_|\d|$)/

/** What follows the word where the value is something about a secret. */
const about =
  /_(?:name|names|ref|type|types|url|uri|urls|endpoint|limit|limits|count|counts|length|len|size|max|min|expiry|expires|expiration|expired|ttl|path|paths|file|files|filename|dir|directory|folder|policy|field|fields|input|label|hint|error|errors|message|manager|service|provider|store|storage|class|index|list|format|pattern|regex|schema|strategy|strength|reset|required|enabled|disabled|visible|visibility|header|headers|prefix|suffix|budget|usage|used|per|version|algorithm|rotation|placeholder|kind|address|arn|id|ids|alias|page|form|link|method|mode|scope|scopes|source|stdin|status|state|validator|validation|generator|getter|factory|callback|handler|helper|helpers|util|utils|test|tests|spec|doc|docs|template|column|table|map|set|cache|queue|bucket|pool|stream|parser|cost|price|rate|window|at|date|time|age|offset|position|pos|start|end|line|env|var|variable|variables|exists|valid|invalid|missing|changed|match|matches|needed|only|by|of|for|in|is|has|types?|kwargs|args|options|config|params|settings|module|import|request|response|event|action|reducer|props|component|view|icon|text|title|description|rounds|encoding|usages|exchange|supplier|source|keyring|chain|ring|board|words?|fn|func|sep|separator|mask|masks|data_?type|lifetime|interval|duration|seconds|minutes|hours|days|ms)$/

const aboutBefore =
  /(?:^|_)(?:max|min|num|total|avg|prompt|completion|cached|reasoning|public|pub|primary|foreign|unique|sort|partition|cache|idempotency|object|row|map|composite|lookup|translation|i18n|dictionary|pad|eos|bos|sep|cls|special|stop|mask|unk|next|page|continuation|cancellation|cancel|design|css|is|has|no|use|with|without|show|hide|toggle|validate|check|verify|forgot|forgotten|reset|change|update|generate|create|get|set|encode|decode|hash|parse|remove|delete|num|n|hot|short|press|arrow|enter|react|item|list|group|query|storage|event|data|dict|json|yaml|config|env|prop|attr|attribute|column|field|index|search|filter|first|last|prev|previous|current|peek|consume|expect|eat|add|with)_(?:\w+_)?(?:token|tokens|key|keys|keyword|auth|session|signature|cookie|seed)s?$/

const split = (name: string): string =>
  name
    .replace(/([a-z0-9])([A-Z])/g, "$1_$2")
    .replace(/([A-Z])([A-Z][a-z])/g, "$1_$2")
    .replace(/[^A-Za-z0-9\u00c0-\uffff]+/g, "_")
    .replace(/^_|_$/g, "")
    .toLowerCase()

/** The kind of secret that a name promises; `undefined` where it promises none. */
export const kindOf = (name: string): Kind | undefined => {
  const parts = split(name)
  if (about.test(parts)) return undefined
  if (password.test(parts)) return "password"
  if (aboutBefore.test(parts))
    return /_(?:access|api|private|secret)_?key|_(?:access|auth|api|bot)_?token/.test(`_${parts}`)
      ? "secret"
      : undefined
  if (secret.test(parts)) return "secret"
  return key.test(parts) ? "key" : undefined
}

/** A name in capitals is that of a setting. */
export const isSetting = (name: string): boolean => /^[A-Z][A-Z0-9_]*$/.test(name.replace(/^.*[.$:]/, ""))

/** What stands in every name that promises a secret, in lower case. */
export const hints: ReadonlyArray<string> = [
  "pass",
  "pwd",
  "pw",
  "pswd",
  "psw",
  "secret",
  "token",
  "key",
  "credential",
  "auth",
  "bearer",
  "jwt",
  "cookie",
  "session",
  "sessid",
  "signature",
  "sig",
  "sas",
  "dsn",
  "salt",
  "pepper",
  "otp",
  "seed",
  "mnemonic",
  "pat",
  "sid",
  "connectionstring",
  "connection_str",
  "connstr",
  "conn_str",
  "code",
  "webhook",
  "kennwort",
  "contrase",
  "senha",
  "parola",
  "haslo",
  "hasło",
  "wachtwoord",
  "mot_de_passe",
  "motdepasse",
  "mdp",
  "lozinka",
  "heslo",
  "losenord"
]
