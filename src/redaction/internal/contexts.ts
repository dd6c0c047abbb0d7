/**
 * Secrets that are known by where they stand: headers, addresses, commands, files of settings, sentences.
 */
import { boundary, cut, lead, type Lead, row, type Row } from "./Detector.ts"
import { isCode, isIdentifier, isMixed, isPlaceholder, isPublicId, isRandom, isSentenceWord } from "./values.ts"

const isValue = (value: string): boolean => !isPlaceholder(value) && !isCode(value) && !value.startsWith("$")

const isMade = (value: string): boolean => isValue(value) && isMixed(value) && !isIdentifier(value)

/** A value of a command: in quotes, or up to the next space. */
const argument = "[^\\s\"'`|;&<>]{2,400}"
const quoted = `["'\`]?(${argument})`

/** A command, from its name to its end. */
const command = (names: string) => `\\b(?:${names})\\b[^\\n|;]{0,600}`

/** Whether the word at an anchor belongs to a flag: `-` before it. */
const isFlag = (text: string, at: number): boolean => {
  for (let before = at; before >= 0 && at - before < 64; before--) {
    const unit = text.charCodeAt(before)
    if (unit === 45) return true
    if (unit <= 32) return false
  }
  return false
}

const adjectives =
  "api access auth authentication secret private encryption license licence security recovery product".split(" ")

/** Whether the noun at an anchor is secret: `key` and `code` need an adjective. */
const isQualified = (text: string, at: number): boolean => {
  const noun = text.slice(at, at + 4).toLowerCase()
  if ((noun === "code" && !/^ d['’]acc/i.test(text.slice(at + 4, at + 10))) || noun.startsWith("key")) {
    const before = text
      .slice(Math.max(0, at - 16), at)
      .toLowerCase()
      .replace(/[\s-]$/, "")
    if (!adjectives.some((adjective) => before.endsWith(adjective))) return false
  }
  return hasValueAhead(text, at)
}

const maxSentence = 160

/** Whether a word that could be a secret follows: letters with digits, symbols or capitals among them, or in quotes. */
const hasValueAhead = (text: string, at: number): boolean => {
  let hasLetter = false
  let isMixedWord = false
  for (let next = at; next < at + maxSentence && next < text.length; next++) {
    const unit = text.charCodeAt(next)
    if ((unit >= 97 && unit <= 122) || unit > 127) {
      hasLetter = true
      if (unit === 0x201c || unit === 0x300c || unit === 0xab) return true
    } else if (unit >= 65 && unit <= 90) {
      isMixedWord ||= hasLetter
      hasLetter = true
    } else if (unit >= 48 && unit <= 57) isMixedWord = true
    else if (unit === 34 || unit === 39 || unit === 96) return true
    else if (unit <= 32 || "/.,:;()[]{}<>_-".includes(text[next]!)) {
      if (unit <= 32) {
        hasLetter = false
        isMixedWord = false
      }
    } else isMixedWord = hasLetter = true
    if (hasLetter && isMixedWord) return true
  }
  return false
}

const headers: ReadonlyArray<Row> = [
  row(
    "authorization",
    "authorization",
    `authorization\\\\?["']?\\s{0,3}(?:[:=,]|=>)\\s{0,3}\\\\?["'\`]?(?:[A-Za-z][\\w-]{1,30}\\s{1,3})?([^\\s"'\`\\\\]{6,}(?:\\s[a-z]\\w{0,20}="?[^\\s"]{1,400}"?)*)`,
    {
      flags: "i",
      accepts: (secret, before) =>
        (/(?:bearer|basic|token|api-?key|digest)\s{1,3}$/i.test(before) && isValue(secret)) ||
        (isValue(secret) &&
          !/^(?:bearer|basic|token|digest|header|code|required|server)s?$/i.test(secret) &&
          (isMixed(secret) || /^[\w+/=-]{10,}$/.test(secret)) &&
          !isIdentifier(secret))
    }
  ),
  row("authorization-digest", "digest", `\\b(?:response|cnonce|nonce)="?([0-9a-zA-Z+/=]{8,})`, {
    flags: "i",
    within: command("digest")
  }),
  row("bearer", "bearer", `bearer\\s{1,3}([\\w.~+/=-]{12,})`, {
    flags: "i",
    accepts: (secret) => isRandom(secret) && isValue(secret)
  }),
  row("basic", "basic", `\\bbasic\\s{1,3}([A-Za-z0-9+/]{8,}={0,2})`, {
    flags: "i",
    accepts: (secret) => isRandom(secret) || secret.endsWith("=")
  }),
  row(
    "cookie",
    "cookie",
    `cookie\\\\?["']?\\s{0,3}[:=]\\s{0,3}\\\\?["'\`]?(?=[^\\s=;"']{1,100}=)([^\\n"'\`\\\\]{6,})`,
    {
      flags: "i",
      accepts: (secret) => /=[^;\s]{6,}/.test(secret) && isRandom(secret) && !/^\s*(?:await|new)\b|\(/.test(secret)
    }
  ),
  row("cookie-flag", "curl http wget xh␣", `\\s(?:-b|--cookie)[\\s=]{1,3}["']?[\\w.-]{1,60}=([^\\s"']{6,})`, {
    within: command("curl|https?|xh|wget")
  }),
  row(
    "key-header",
    "-api -key -token -secret -signature -auth -password",
    `-(?:api-?key|key|token|secret|signature|auth|password|apikey)\\\\?["']?\\s{0,3}:\\s{0,3}\\\\?["'\`]?(?:token\\s|bearer\\s|key\\s)?([\\w.~+/=:-]{8,})`,
    {
      flags: "i",
      accepts: (secret) => (isMade(secret) && !isPublicId(secret)) || (isRandom(secret) && isValue(secret))
    }
  )
]

const addresses: ReadonlyArray<Row> = [
  row("url-password", "://", `(?<=\\b[a-z][a-z0-9+.-]{1,20}):\\/\\/[^\\s:@/"'<>]{0,200}:([^\\s/"'<>]{1,400}(?=@))`, {
    flags: "i",
    accepts: (secret) => isValue(secret) || /[^\w${}<>()%-]/.test(secret)
  }),
  // A password with a slash, where a port and a path can't be meant.
  row(
    "url-password-slash",
    "://",
    `(?<!\\bhttps?)(?<=\\b[a-z][a-z0-9+.-]{1,20}):\\/\\/[^\\s:@/"'<>]{1,64}:(?!\\d{1,5}\\/)([^\\s"'<>@]{1,128}(?=@))`,
    { flags: "i", accepts: isValue }
  ),
  row(
    "url-password-cut",
    "://",
    `(?<=\\b[a-z][a-z0-9+.-]{1,20}):\\/\\/[^\\s:@/"'<>]{1,100}:(?!\\d{1,5}(?:\\/|\\b))([^\\s/"'<>@]{1,400}${cut})`,
    { flags: "i", accepts: isValue }
  ),
  row("oracle-password", "jdbc:oracle:", `jdbc:oracle:\\w{2,10}:[\\w.-]{1,60}/([^\\s@"']{3,200})(?=@)`, {
    flags: "i",
    accepts: isValue
  }),
  row(
    "url-user",
    "://",
    `(?<=\\b(?:https?|git|ssh|wss?|ftps?|sentry|s3|amqps?|redis|rediss|nats|mqtts?|ldaps?|socks5h?)(?:\\+\\w{1,10})?):\\/\\/([\\w.~%+=-]{16,400})(?=(?::(?:x-oauth-basic)?)?@)`,
    { flags: "i", accepts: isRandom }
  ),
  row(
    "url-parameter",
    "token= orization= auth= key= sig= signature= secret= password= passwd= pwd= pass= code= session= sessionid= session_id= sid= jwt= assertion= samlrequest= samlresponse= ticket= otp= credential= accesskeyid= hmac= sas= state= nonce=",
    `[?&;](?:amp;)?(?:access_?token|id_token|refresh_?token|auth(?:_?token|orization)?|token|api_?key|apikey|app_?key|key|sig|signature|secret|client_?secret|password|passwd|pwd|pass|code|session(?:_?id|_?token)?|sid|jwt|assertion|saml(?:request|response)|ticket|otp|x-(?:amz|goog)-(?:signature|security-token|credential)|awsaccesskeyid|hmac|hash_?key|private_?token|job_?token|sv_?key|sas|webhook_?key|state|nonce)=([^\\s&#"'<>\`;)\\]}]{6,})`,
    {
      back: 28,
      flags: "i",
      accepts: (secret) =>
        isValue(secret) && (isRandom(secret) || (isMixed(secret) && /[a-z]/i.test(secret) && secret.length >= 8))
    }
  ),
  row(
    "url-fragment-token",
    "#access_token= #id_token= #token=",
    `#(?:access_token|id_token|token)=([\\w.~+/=%-]{8,})`,
    {
      flags: "i",
      accepts: isValue
    }
  ),
  row(
    "reset-link",
    "/reset /verify /confirm /invite /magic /unsubscribe /activate",
    `/(?:reset(?:[-_/]?password)?|verify|confirm|invite|magic(?:[-_]?link)?|activate|unsubscribe)/([\\w.~%-]{20,})`,
    { flags: "i", accepts: (secret) => isRandom(secret) && !isPublicId(secret) }
  )
]

const commands: ReadonlyArray<Row> = [
  row(
    "flag",
    "pass pwd -pw _pw",
    `(?<=(?<![\\w-])--?(?:[\\w.-]{0,60}[_.-])?(?:store|key|trust|user|db|root|ssh|proxy|admin|login|vnc)?)(?:password|passwd|passphrase|passwort|pass|pwd|pw)(?:[-_]?\\d)?\\s{1,3}${quoted}`,
    {
      gate: isFlag,
      back: 1,
      flags: "i",
      accepts: (secret) => isValue(secret) && !secret.startsWith("-") && !isSentenceWord(secret) && secret.length >= 3
    }
  ),
  row(
    "token-flag",
    "secret token key credential auth bearer cookie webhook -jwt -pat -sas -otp",
    `(?<=(?<![\\w-])--?(?:[\\w.-]{0,60}[_.-])?(?:api|access|secret|auth|session|private|account)?)(?:secret|token|key|credentials?|auth|bearer|jwt|pat|sas|otp|cookie|webhook)\\s{1,3}${quoted}`,
    {
      gate: isFlag,
      back: 1,
      flags: "i",
      accepts: (secret) =>
        isMade(secret) &&
        !secret.startsWith("-") &&
        !/^[\d.]+$/.test(secret) &&
        !/[/.](?:pem|key|crt|json|txt|ya?ml|env|pub)$/.test(secret) &&
        (isRandom(secret) || (secret.length >= 8 && !/^[./~]/.test(secret)))
    }
  ),
  row(
    "user-and-password",
    "curl http xh␣ smbclient rpcclient skopeo crane oras elasticdump snowsql crackmapexec lftp",
    `\\s(?:-u|--user|-a|--auth|-U|--proxy-user|--creds|--src-creds|--dest-creds)[\\s=]{0,3}["']?[^\\s:"'%,]{0,100}[:%,]([^\\s"']{2,})`,
    {
      accepts: isValue,
      within: command("curl|https?|xh|smbclient|rpcclient|skopeo|crane|oras|elasticdump|snowsql|crackmapexec|lftp")
    }
  ),
  row(
    "short-password-joined",
    "mysql mariadb 7z␣ 7za 7zr 7zz rar␣ unrar sshpass",
    `\\s-(?:p|hp)([^\\s"'-][^\\s"']{2,})`,
    {
      accepts: (secret) => isValue(secret) && !/^(?:ort|assword|rotocol|lugin)/.test(secret),
      within: command("mysql\\w{0,10}|mariadb(?:-\\w{1,10})?|7z[arz]?|u?n?rar|sshpass")
    }
  ),
  row("short-password-quoted", "mysql mariadb sshpass", `\\s-p["']([^"'\\n]{3,})`, {
    accepts: isValue,
    within: command("mysql\\w{0,10}|mariadb(?:-\\w{1,10})?|sshpass")
  }),
  row(
    "short-password",
    "sshpass docker podman helm nerdctl buildah skopeo az␣ oc␣ zip␣ unzip sqlcmd bcp␣ isql␣ mongo nuget cf␣ ldap argocd vsql rabbitmqadmin influx cqlsh impala-shell beeline clickhouse twine rdesktop ipmitool arangosh couchbase-cli cypher-shell xfreerdp wfreerdp psexec schtasks mosquitto",
    `\\s(?:-p|-P|-w|/p:|/rp\\s|-pw|--pw|-D)\\s{0,3}${quoted}`,
    {
      needs: "-p -w /p: /rp -d",
      accepts: (secret) =>
        isMade(secret) &&
        !/^[\d.:/-]+(?:\/(?:tcp|udp))?$/.test(secret) &&
        !secret.startsWith("-") &&
        !/^[./~]/.test(secret) &&
        !/^\d+:\d+/.test(secret),
      within: command(
        "sshpass|docker|podman|helm|nerdctl|buildah|skopeo|az|oc|zip|unzip|sqlcmd|bcp|isql|mongo(?:sh|dump|restore|export|import)?|nuget|cf|ldap(?:search|add|modify|passwd|whoami)|argocd|vsql|rabbitmqadmin|influx|cqlsh|impala-shell|beeline|clickhouse(?:-client)?|twine|rdesktop|ipmitool|arangosh|couchbase-cli|cypher-shell|xfreerdp|wfreerdp|psexec|schtasks|mosquitto_(?:pub|sub|passwd)"
      )
    }
  ),
  row("net-use", "net␣use", `\\s/user:\\S{1,100}\\s{1,3}([^\\s/"'][^\\s"']{2,200})`, {
    flags: "i",
    accepts: isValue,
    within: command("net\\suse")
  }),
  row("ssh-keygen", "ssh-keygen cryptsetup", `\\s-[NP]\\s{0,3}${quoted}`, {
    accepts: (secret) => isValue(secret) && secret.length >= 4 && !secret.startsWith("-"),
    within: command("ssh-keygen|cryptsetup")
  }),
  row("net-user", "net␣user", `\\bnet\\suser\\s{1,2}[^\\s/]{1,60}\\s{1,2}([^\\s/*][^\\s]{3,200})`, {
    flags: "i",
    accepts: isMade
  }),
  row(
    "oracle-login",
    "sqlplus exp␣ imp␣ expdp impdp sqlldr",
    `\\s(?:userid=)?[A-Za-z][\\w.]{0,40}/([^\\s@"'/]{3,200})(?=[\\s@]|$)`,
    { accepts: isMade, within: command("sqlplus|exp|imp|expdp|impdp|sqlldr") }
  ),
  row("here-string", "<<<", `<<<\\s{0,2}["']?([^\\s"'$]{6,400})`, {
    accepts: (secret, before) =>
      /sudo|kinit|login|passw|token|secret|auth|cryptsetup|gpg/i.test(before) && isMade(secret)
  }),
  row("expect-send", "send␣", `\\bsend\\s(?:--\\s)?"([^"\\s\\\\]{6,200})(?=\\\\[rn]")`, {
    accepts: (secret) => isMade(secret) && isRandom(secret)
  }),
  row(
    "login-call",
    "login( auth( authenticate( credential( credentials(",
    `(?:login|auth|authenticate|credentials?)\\(\\s{0,2}["'][^"'\\n]{1,80}["']\\s{0,2},\\s{0,2}["']([^"'\\n]{4,200})(?=["'])`,
    { flags: "i", accepts: isMade }
  ),
  row("secure-string", "securestring", `securestring\\s{1,3}(?:-string\\s{1,3})?["']([^"'\\n$]{3,200})`, {
    flags: "i",
    accepts: isValue
  }),
  row("add-mask", "::add-mask::", `::add-mask::([^\\s"'\`$]{4,})`, { accepts: isValue }),
  row("redis-password", "redis-cli valkey-cli keydb-cli", `\\s(?:-a|--pass)[\\s=]{1,3}${quoted}`, {
    accepts: isValue,
    within: command("(?:redis|valkey|keydb)-cli")
  }),
  row(
    "htpasswd",
    "htpasswd",
    `\\bhtpasswd\\s(?:-\\w{1,8}\\s{1,3}){0,6}[^\\s-]\\S{0,200}\\s{1,3}\\S{1,100}\\s{1,3}${quoted}`,
    { accepts: isValue }
  ),
  row("openssl-password", "pass:", `(?:\\s|["'=])pass:([^\\s"']{3,})`, { back: 1, accepts: isValue }),
  row("openssl-key", "openssl", `\\s(?:-k|-K|-iv|-hmac|-passwd)\\s{1,3}${quoted}`, {
    accepts: isMade,
    within: command("openssl")
  }),
  row(
    "configure",
    "configure config secret env␣add kv␣put write login gem␣sources snap␣set etcdctl conan␣user rclone systemd-ask",
    `[\\s=]["']?([\\w+/=.~@!%^*-]{8,400})`,
    {
      back: 20,
      accepts: (secret) => isRandom(secret) && isValue(secret) && !isPublicId(secret),
      within: command(
        "aws\\s{1,2}configure\\s{1,2}set|npm\\s{1,2}config\\s{1,2}set|yarn\\s{1,2}config\\s{1,2}set|pnpm\\s{1,2}config\\s{1,2}set|git\\s{1,2}config|composer\\s{1,2}config|pip\\s{1,2}config\\s{1,2}set|gem\\s{1,2}sources|poetry\\s{1,2}config|bundle\\s{1,2}config(?:\\s{1,2}set)?|heroku\\s{1,2}config:set|dokku\\s{1,2}config:set|firebase\\s{1,2}functions:config:set|pulumi\\s{1,2}config\\s{1,2}set|wrangler\\s{1,2}secret\\s{1,2}put|fly(?:ctl)?\\s{1,2}secrets\\s{1,2}set|gh\\s{1,2}secret\\s{1,2}set|vercel\\s{1,2}env\\s{1,2}add|doppler\\s{1,2}secrets\\s{1,2}set|vault\\s{1,2}(?:kv\\s{1,2}put|write|login)|snap\\s{1,2}set|redis-cli\\s{1,2}config\\s{1,2}set|az\\s{1,2}keyvault\\s{1,2}secret\\s{1,2}set|consul\\s{1,2}kv\\s{1,2}put|etcdctl\\s{1,2}put|conan\\s{1,2}user|rclone\\s{1,2}(?:config\\s{1,2}create|obscure)|systemd-ask-password"
      )
    }
  ),
  row("login", "login ␣auth add-auth", `[\\s=]([\\w+/=.~!%-]{12,})`, {
    back: 90,
    accepts: (secret) => isRandom(secret) && isValue(secret) && !secret.startsWith("-"),
    within: command(
      "(?:cargo|npm|gh|glab|heroku|doppler|vercel|netlify|fly|railway|supabase|huggingface-cli|hf|wandb|sentry-cli|snyk|op|bw|vault|databricks|pulumi|terraform|ngrok|tailscale|cloudflared|stripe|argocd|linode-cli|doctl|hcloud|scw)\\b(?:\\s{1,2}[a-z:-]{1,20}){0,3}\\s{1,2}(?:login|auth|authtoken|add-authtoken|init|unlock|up)"
    )
  }),
  row(
    "piped",
    "echo␣ printf␣",
    `\\b(?:echo|printf)\\s{1,3}(?:-n\\s{1,2}|"%s"\\s{1,2}|'%s'\\s{1,2}|%s\\s{1,2})?["']?([^\\s"'|$\`]{6,200})["']?\\s{0,3}\\|\\s{0,3}(?=[^\\n]{0,120}(?:--password-stdin|--with-token|--token-stdin|login|passwd|sudo\\s{1,2}-S|--stdin|secret\\s(?:set|put|create)|secrets\\s(?:set|put|create)|cryptsetup|gpg|base64\\s-d))`,
    { accepts: isValue }
  ),
  row(
    "user-list",
    "chpasswd",
    `["'\\s][\\w.-]{1,32}:([^\\s"':|]{4,200})(?=["']?\\s{0,3}\\|\\s{0,3}(?:sudo\\s)?chpasswd)`,
    { back: 130, accepts: isValue }
  ),
  row(
    "set-command",
    "setx setenv set␣- env␣ arg␣ user-secrets␣set secret␣add secrets␣add",
    `(?:^|[\\s;&])(?:setx|setenv|set\\s-\\w{1,4}|ENV|ARG|SetEnv|dotnet\\suser-secrets\\sset|secrets?\\sadd)\\s{1,3}["']?[\\w:.-]{0,60}(?:pass(?:word|wd|phrase)?|pwd|secret|token|key|auth|credentials?)\\w{0,20}["']?\\s{1,3}["']?([^\\s"'=]{4,})`,
    { back: 8, flags: "i", accepts: (secret) => isValue(secret) && (isMixed(secret) || secret.length >= 8) }
  ),
  row(
    "sql-password",
    "identified password",
    `\\b(?:identified\\s(?:with\\s\\w{1,40}\\s)?by|password(?:\\s(?:for\\s[^\\n]{1,80}?)?(?:=|to|as))?|password\\()\\s{0,3}(?:password\\s{0,2})?'([^'\\n]{3,400})(?=')`,
    {
      flags: "i",
      accepts: (secret) => isValue(secret) && !/\s/.test(secret) && !isIdentifier(secret) && !isSentenceWord(secret)
    }
  ),
  row("sql-insert", "insert␣into", `'([^'\\n]{6,400})(?=')`, {
    flags: "i",
    accepts: isMade,
    within:
      "insert\\sinto\\s[^\\n(]{1,100}\\([^)\\n]{0,300}(?:password|passwd|secret|token|api_key)[^)\\n]{0,300}\\)\\s{0,5}values\\s{0,5}\\([^\\n]{0,600}"
  }),
  row(
    "requirepass",
    "requirepass masterauth sentinel",
    `\\b(?:requirepass|masterauth|sentinel\\sauth-pass\\s\\S{1,60})\\s{1,3}["']?([^\\s"']{3,})`,
    { accepts: isValue }
  ),
  row(
    "redis-auth",
    "auth␣",
    `(?:^|[\\n>"'\`]\\s{0,3})(?:AUTH|auth)\\s{1,2}(?:[\\w.-]{1,40}\\s{1,2})?["']?([^\\s"'\`]{8,256})(?=["'\`]?\\s{0,3}(?:$|\\n|["'\`]))`,
    { back: 4, accepts: isMade }
  ),
  row("smtp-auth", "auth␣", `AUTH\\s{1,2}(?:PLAIN|LOGIN|XOAUTH2|CRAM-MD5)\\s{1,2}([A-Za-z0-9+/=]{8,})`, { flags: "i" }),
  row("ftp-pass", "pass␣", `(?:^|\\n)(?:[<>*-]{0,3}\\s{0,2})PASS\\s{1,2}([^\\s]{3,})`, { back: 6, accepts: isValue })
]

const files: ReadonlyArray<Row> = [
  row(
    "netrc",
    "password",
    `(?<=\\b(?:login|account|user)\\s{1,5}\\S{1,200}\\s{1,5})password\\s{1,5}["']?([^\\s"']{2,})`,
    {
      accepts: isValue
    }
  ),
  row(
    "netrc-password-first",
    "machine",
    `\\bmachine\\s{1,3}\\S{1,200}\\s{1,5}(?:login\\s{1,3}\\S{1,100}\\s{1,5})?password\\s{1,5}["']?([^\\s"']{2,})`,
    { accepts: isValue }
  ),
  row(
    "pgpass",
    ":*: :54 :64 :65 :15 :25 :26 :33",
    `(?<=(?:^|[\\s"'])(?:[\\w.-]{1,100}|\\*)):(?:\\d{2,5}|\\*):(?:[\\w.-]{1,63}|\\*):[\\w.-]{1,63}:([^\\s:"']{3,200})(?=$|[\\s"'])`,
    {
      needs: ":*: :5432: :5433: :5434: :6432: :6433: :6543: :15432: :25060: :26257: :3306:",
      accepts: (secret) =>
        isValue(secret) &&
        !/^\d+$/.test(secret) &&
        !/^\d+:\d+/.test(secret) &&
        !/\.(?:ts|js|py|go|rs|java|c|h)$/.test(secret)
    }
  ),
  row("npm-auth", "_auth", `_auth(?:Token)?["']?\\s{0,3}[:=]\\s{0,3}["']?([^\\s"'$]{4,})`, { accepts: isValue }),
  row(
    "docker-auth",
    '"auth "identitytoken "registrytoken',
    `"(?:auth|identitytoken|registrytoken)\\\\?"\\s{0,3}:\\s{0,3}\\\\?"([\\w+/=.-]{8,})`,
    { flags: "i" }
  ),
  row(
    "kube-config",
    "client-key-data client-certificate-data id-token refresh-token",
    `\\b(?:client-key-data|client-certificate-data|id-token|refresh-token)\\\\?["']?\\s{0,3}:\\s{0,3}\\\\?["']?([\\w+/=.-]{16,})`
  ),
  row("git-credentials", "password=", `\\bpassword=([^\\s&"']{4,256})(?=\\s{0,3}(?:$|\\n(?:path|quit|oauth)))`, {
    accepts: (secret) => isValue(secret) && !isCode(secret) && !isIdentifier(secret)
  }),
  row(
    "connection-string",
    "accountkey sharedaccess sharedsecret password pwd access apikey instrumentationkey",
    `\\b(?:AccountKey|SharedAccessKey|SharedSecretKey|SharedAccessSignature|InstrumentationKey|Password|Pwd|Access\\s?Key|ApiKey)\\s{0,2}=\\s{0,2}["']?([^\\s;"']{3,}|[^\\s;"'][^;"'\\n]{2,100}(?=;))`,
    {
      flags: "i",
      accepts: (secret) =>
        isValue(secret) &&
        !isCode(secret) &&
        (isMixed(secret) || secret.endsWith("=")) &&
        !isIdentifier(secret) &&
        !secret.startsWith("=")
    }
  ),
  row(
    "xml-element",
    "password passwd passphrase pwd secret token apikey api_key api-key accesskey access_key access-key privatekey private_key private-key credential",
    `(?<=<[\\w.:-]{0,70})(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential)[\\w.-]{0,20}(?:\\s[^>\\n]{0,200})?>(?:<!\\[CDATA\\[)?\\s{0,10}([^<\\s][^<\\n]{0,500}?)(?=\\s{0,10}(?:\\]\\]>)?</)`,
    {
      needs: "</",
      flags: "i",
      accepts: (secret) => isValue(secret) && !/\s/.test(secret) && secret.length >= 4 && !isSentenceWord(secret)
    }
  ),
  row(
    "xml-attribute",
    "password passwd passphrase pwd secret token apikey api_key api-key accesskey access_key privatekey private_key credential",
    `(?<=(?:key|name|id)=["'][\\w.:-]{0,60})(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|access_?key|private_?key|credential)[\\w.-]{0,20}["'][^>\\n]{0,100}>\\s{0,10}([^<\\s][^<\\n]{0,500}?)(?=\\s{0,10}</)`,
    {
      needs: "</",
      flags: "i",
      accepts: (secret) => isValue(secret) && !/\s/.test(secret) && secret.length >= 4 && !isSentenceWord(secret)
    }
  ),
  row(
    "keyword-value",
    "password passwd passphrase secret token api-key",
    `(?<=[(:][\\w-]{0,40})(?:password|passwd|passphrase|secret|token|api-key)\\s{1,3}"([^"\\s]{4,200})(?=")`,
    { flags: "i", accepts: isMade }
  ),
  row(
    "plist",
    "<key>",
    `<key>[^<\\n]{0,60}(?:password|secret|token|api_?key|passphrase|credential)[^<\\n]{0,30}</key>\\s{0,40}<string>([^<\\n]{4,500})(?=</string>)`,
    { flags: "i", accepts: isValue }
  ),
  row(
    "named-value",
    "password passwd passphrase pwd secret token apikey api_key api-key accesskey access_key access-key privatekey private_key private-key _key credential _pass _auth",
    `(?<=(?:name|key|id|variable|parameterkey|property|field)["']?\\s{0,3}[:=]\\s{0,3}["']?[\\w.:$-]{0,60})(?:password|passwd|passphrase|pwd|secret|token|api_?-?key|access_?-?key|private_?-?key|_key|credentials?|_pass|_auth)["']?\\s{0,3}[,;]?\\s{1,40}["']?(?:\\w{0,20}value|content|default)["']?\\s{0,3}[:=]\\s{0,3}["']?([^\\s"'<>,}]{4,})`,
    {
      needs: "value content default",
      flags: "i",
      accepts: (secret) => isValue(secret) && (isMixed(secret) || secret.length >= 8) && !isIdentifier(secret)
    }
  ),
  row(
    "variable-default",
    "variable␣",
    `variable\\s"\\w{0,60}(?:password|passwd|secret|token|api_?key|access_?key|private_?key)\\w{0,20}"\\s{0,3}\\{[^}]{0,200}?default\\s{0,5}=\\s{0,5}"([^"\\n]{4,})`,
    { flags: "i", accepts: isValue }
  ),
  row(
    "value-then-name",
    "value",
    `value["']?\\s{0,3}[:=]\\s{0,3}["']?([^\\s"'<>,}]{6,80})(?=["']?\\s{0,3}[,;]?\\s{1,40}["']?(?:name|key)["']?\\s{0,3}[:=]\\s{0,3}["']?[\\w.:$-]{0,60}(?:PASSWORD|SECRET|TOKEN|API_KEY|ACCESS_KEY|PRIVATE_KEY))`,
    { flags: "i", accepts: isMade }
  ),
  row(
    "dotted-set",
    "password passwd secret token apikey api_key passphrase credential",
    `(?<=\\[\\\\?["'][\\w.:$ -]{0,60})(?:password|passwd|secret|token|api_?key|passphrase|credentials?)\\w{0,10}\\\\?["']\\]\\s{0,3}=\\s{0,3}\\\\?["']([^"'\\\\\\n]{4,400})`,
    { needs: `"] ']`, flags: "i", accepts: (secret) => isValue(secret) && !/\s/.test(secret) && !isIdentifier(secret) }
  ),
  row(
    "wireguard",
    "privatekey presharedkey",
    `\\b(?:PrivateKey|PresharedKey)\\s{0,3}=\\s{0,3}([A-Za-z0-9+/]{20,}={0,2})`,
    { flags: "i" }
  ),
  row(
    "wifi",
    "psk wep_key wpa_passphrase wpa-psk sae_password key-mgmt-psk",
    `\\b(?:psk|wep_key\\d|wpa_passphrase|wpa-psk|sae_password|key-mgmt-psk)\\s{0,3}[=\\s]\\s{0,3}"?([^\\s"]{8,63})`,
    { accepts: isValue }
  ),
  row("wifi-code", "wifi:", `[:;]P:([^;\\s]{3,80})`, { flags: "i", within: "WIFI:[^\\s]{0,200}" }),
  row(
    "basic-array",
    "auth",
    `\\bauth\\s{0,2}[=:]\\s{0,3}[(\\[]\\s{0,2}["'][^"'\\n]{1,80}["']\\s{0,2},\\s{0,2}["']([^"'\\n]{3,200})`,
    { needs: `(" (' [" [' (␣ [␣`, accepts: isValue }
  ),
  row(
    "ethereum-key",
    "private secret wallet signer deployer mnemonic pk_ pk␣ pk= pk:",
    `(?:private|secret|wallet|signer|deployer|mnemonic|pk)[\\w\\s"':=(-]{0,30}(0x[0-9a-f]{64})(?!\\w)`,
    { needs: "0x", flags: "i" }
  ),
  row(
    "private-key-hex",
    "private secret",
    `(?:private|secret)[\\s_-]?key["'\\s:=]{1,6}(?:is\\s)?["']?([0-9a-f]{64})(?![0-9a-f])`,
    { flags: "i" }
  ),
  row(
    "seed-phrase",
    "mnemonic seed recovery",
    `(?:mnemonic|seed[\\s_-]?(?:phrase|words)|recovery[\\s_-]phrase|secret[\\s_-]recovery[\\s_-]phrase)["']?\\s{0,3}(?:is|:|=|are)?\\s{0,3}["']?((?:[a-z]{3,8}\\s{1,2}){11,23}[a-z]{3,8})`,
    { flags: "i" }
  ),
  row(
    "ansible-vault",
    "$ansible_vault;",
    `\\$ANSIBLE_VAULT;[\\d.]{3,5};AES256[^\\n]{0,40}\\n((?:\\s{0,40}[0-9a-f]{10,80}\\n?){1,2000})`
  ),
  row("shadow", ":$1 :$2 :$5 :$6 :$7 :$y :$a :$s :$p", `\\w:(\\$\\w{1,10}\\$[\\w./$=,+-]{10,})`, { back: 1 })
]

/** The nouns for secrets in sentences, by the scripts of their languages. */
const latinNouns =
  "password passwd passphrase passcode passwort passe pwd secret token credential bearer kennwort zugangscode geheimnis schlüssel schluessel jeton contraseña contrasena clave senha segredo parola parol segreto wachtwoord geheim sleutel hasło haslo klucz heslo jelszó jelszo şifre sifre lösenord losenord adgangskode passord salasana lozinka zaporka geslo mật␣khẩu kata␣sandi sandi"

const otherNouns =
  "κωδικός парол ключ токен секрет код␣доступа 密码 密碼 口令 密钥 密鑰 令牌 秘钥 パスワード 暗証番号 秘密鍵 トークン キー 비밀번호 암호 패스워드 토큰 كلمة␣المرور كلمة␣السر סיסמה סיסמא पासवर्ड รหัสผ่าน"

/** An anchor has three units: nouns of two are followed by one that may stand between a noun and its value. */
const otherHints = otherNouns
  .split(" ")
  .flatMap((noun) => (noun.length > 2 ? [noun] : [...":：=＝␣是为為はが는은이「"].map((next) => noun + next)))
  .join(" ")

/** Nouns that are secret with an adjective only. */
const qualifiedNouns = "key code clé␣ cle␣ chave chiave"

const qualified =
  "(?:(?<=(?:api|access|auth(?:entication)?|secret|private|encryption|licen[cs]e|security|recovery|product)[\\s-]?)(?:key|code)|code\\sd['’]acc(?:è|e)s|cl(?:é|e)\\s(?:api|d['’]acc(?:è|e)s|secr(?:è|e)te|priv(?:é|e)e)|chave(?:\\s(?:secreta|de\\sacesso|(?:da\\s)?api))?|chiave(?:\\s(?:segreta|api))?)"

const alternatives = (nouns: string): string => `(?:${nouns.replaceAll(" ", "|").replaceAll("␣", "\\s")})`

/** What stands between a noun and its secret: a word or a sign for "is". */
const isWord = lead(
  "\\s{0,2}(?:\\s(?:is|was|are|equals|should\\sbe|will\\sbe|set\\sto|changed\\sto|reset\\sto|now|lautet|ist|heißt|heisst|war|est|es|era|é|è|jest|to|je|är|er|on|bedraagt|luidt|este|adalah|là|คือ|это|был|является)(?![a-z\\u00c0-\\u024f])(?:\\s(?:now|jetzt|maintenant|ahora|agora|still|simply|just))?|=>|[:=：＝]|はですか|は|是|为|為|就是|が|는|은|이|[-–—]>?|（)\\s{0,3}[:：]?\\s{0,3}"
)

/** What the secret is for, of up to three words. */
const purpose = lead(
  "\\s{1,2}(?:for|of|to|on|für|fuer|von|zu|zum|des|der|pour|de|du|del|la|el|da|do|di|per|voor|van|dla|pro|para|en|in|im|am|an|у|от|для)\\s{1,2}[^\\s\"',;:=]{1,40}"
)
const purposeWord = lead("\\s[^\\s\"',;:=]{1,40}")

const spokenIs: Lead = {
  source: isWord.source,
  match: (text, from) => {
    let end = isWord.match(text, from)
    let head = end < 0 ? purpose.match(text, from) : -1
    for (let words = 0; words < 3 && end < 0 && head >= 0; words++) {
      end = isWord.match(text, head)
      if (end < 0) head = purposeWord.match(text, head)
    }
    return end
  }
}

const spoken = (id: string, hints: string, nouns: string, gate = hasValueAhead): Row =>
  row(id, hints, `["'\`*_“«「『(]{0,3}([^\\s"'\`*“”«»「」『』,;)<>。、，]{4,200})`, {
    gate,
    leads: [lead(`${nouns}["'\`*_”»]{0,3}`), spokenIs],
    flags: "i",
    accepts: (secret, before) =>
      proseSecret(secret) ||
      (/["'`“«「『]$/.test(before) && /^[a-z]{6,}$/i.test(secret) && !isIdentifier(secret) && !isSentenceWord(secret))
  })

const proseSecret = (secret: string): boolean => {
  const word = secret.slice(0, 80).replace(/[.,;:!?)。、，；]{1,9}$/, "")
  return (
    word.length >= 4 &&
    !word.startsWith("]") &&
    (isRandom(word) || !/^[A-Za-z\u00c0-\uffff-]*$/.test(word)) &&
    !/^\d{1,12}(?:[.,:]\d{1,12}){0,5}%?$/.test(word) &&
    isMixed(word) &&
    isValue(word) &&
    !isIdentifier(word) &&
    !isPublicId(word)
  )
}

const directNouns =
  "password passwd passphrase passcode passwort kennwort contraseña senha secret mot␣de␣passe parola hasło heslo пароль"

/** At most one word, and a number such as the type of a password in the settings of a router. */
const directly = lead("\\s{1,3}(?:[a-z\\u00c0-\\u04ff]{1,20}\\s)?(?:[057]\\s)?[\"'`]?")

const prose: ReadonlyArray<Row> = [
  spoken(
    "spoken",
    latinNouns,
    `${alternatives(latinNouns)}(?:n|m|si|niz|miz|s|et|en|\\sd['’]ordine|\\s(?:secreta|de\\sacceso|api))?`
  ),
  row("spoken-directly", directNouns, `([^\\s"'\`*,;()<>:=]{8,200})(?=$|[\\s"'\`*,;)])`, {
    gate: hasValueAhead,
    leads: [lead(alternatives(directNouns)), directly],
    flags: "i",
    accepts: (secret) => isRandom(secret) && /\d/.test(secret) && proseSecret(secret)
  }),
  row(
    "one-time-code",
    "␣pin pin: code passcode otp",
    `(?:\\bpin|(?:verification|confirmation|security|login|2fa|one-time)\\s(?:code|password)|passcode|\\botp)(?:\\scode)?\\s{0,2}(?:is|[:=]|lautet)\\s{0,3}(\\d{4,8})(?![\\d.])`,
    { back: 16, flags: "i" }
  ),
  row(
    "recovery-codes",
    "backup␣code recovery␣code",
    `(?:backup|recovery)\\scodes?\\s{0,2}(?:[:=]|are|is)\\s{0,3}((?:[a-z0-9]{4,10}-[a-z0-9]{4,10}(?:[\\s,]{1,3})?){1,20})`,
    { flags: "i", accepts: isMixed }
  ),
  spoken("spoken-in-other-scripts", otherHints, `${alternatives(otherNouns)}(?:ь|я|ем|и)?`),
  spoken("spoken-qualified", qualifiedNouns, qualified, isQualified),
  row(
    "spoken-with",
    "password passwort passphrase token key secret credential mot␣de␣passe contraseña senha",
    `(?<=\\b(?:use|using|with|mit|try|here(?:'|’)?s|here\\sis|this\\sis|take|nimm|benutze|utilise|usa)\\b[^\\n.:]{0,40})\\b(?:password|passwort|passphrase|token|key|secret|credential|mot\\sde\\spasse|contraseña|senha)s?\\b\\s{0,2}:?\\s{0,2}["'\`]?([^\\s"'\`,;)=][^\\s"'\`,;)]{5,199})`,
    { gate: hasValueAhead, flags: "i", accepts: proseSecret }
  ),
  row(
    "user-slash-password",
    "login log␣in sign␣in credential creds zugangsdaten account user auth",
    `\\b(?:(?:log|sign)\\s?in(?:\\s(?:with|as|using))?|credentials?|creds|zugangsdaten|account|logins?|user(?:name)?(?:\\s?\\/\\s?pass(?:word)?)?|auth)\\s{0,2}(?:(?<=with|as|using)|is|are|[:=])\\s{0,2}["'\`]?[\\w.@+-]{2,64}\\s{0,2}[/:]\\s{0,2}([^\\s"'\`,;)/]{6,100})`,
    { gate: hasValueAhead, flags: "i", accepts: proseSecret }
  )
]

/** A long value that a machine made, near a word that says what it is. */
const nearby: ReadonlyArray<Row> = [
  row("nearby", "0 1 2 3 4 5 6 7 8 9", `${boundary}(?<![\\w/.#-])[A-Za-z0-9_+=~/.-]{20,}`, {
    needs: "secret token key passw credential auth bearer pwd passphrase 密 парол ключ",
    run: true,
    accepts: (secret, before) =>
      nearWord.test(before.slice(-48)) &&
      !/[/.].*[/.].*[/.]/.test(secret.slice(0, 200)) &&
      isDense(secret) &&
      !isPublicId(secret)
  })
]

const nearWord =
  /(?:secret|token|\bkeys?\b|[_-]key|api[\s_-]?key|passw|credential|auth\b|bearer|passphrase|pwd|密钥|密码|пароль|ключ)[^\n]{0,40}$/i

/** Letters of both cases and digits throughout, as no name of a program has them; digits of a hash are not enough. */
const isDense = (secret: string): boolean => {
  if (!/\d/.test(secret) || !/[a-z]/.test(secret) || !/[A-Z]/.test(secret)) return false
  const parts = secret.match(/[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+/g)?.length ?? 1
  return secret.replace(/[^A-Za-z0-9]/g, "").length / parts < 2.8 && secret.length >= 20
}

export const rows: ReadonlyArray<Row> = [...headers, ...addresses, ...commands, ...files, ...prose, ...nearby]
