// Values are concatenated from parts, so that no literal looks like a secret to a scanner.
/* oxlint-disable no-useless-concat */
import { assert, it } from "@effect/vitest"
import * as Redaction from "../../src/redaction/Redaction.ts"

const seed = Number(process.env["ATHENA_SEED"] ?? 20_261_130)
let state = seed
const next = (bound: number): number => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
  return Math.floor((state / 2 ** 32) * bound)
}
const upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
const digits = "0123456789"
const sets: Readonly<Record<string, string>> = {
  w: upper + upper.toLowerCase() + digits,
  h: "0123456789abcdef",
  U: upper + digits,
  d: digits
}

/** `{w36}` stands for 36 random letters and digits, `{h..}` for hexadecimal ones, `{U..}` for capitals, `{d..}` for digits. */
const fill = (template: string): { readonly text: string; readonly secret: string } => {
  let secret = ""
  const text = template.replace(/\{([whUd])(\d+)\}/g, (_, set: string, count: string) => {
    const value = Array.from({ length: Number(count) }, () => sets[set]![next(sets[set]!.length)]).join("")
    if (value.length > secret.length) secret = value
    return value
  })
  return { text, secret }
}

/** Settings, commands, headers, addresses, files and sentences; services are known by the beginning of their tokens. */
const templates = [
  "gh" + "p_{w36}",
  "gl" + "pat-{w20}",
  "gl" + "cbt-64_{w20}",
  "xo" + "xb-{d12}-{d12}-{w24}",
  "sk" + "-proj-{w48}",
  "sk" + "-ant-api03-{w80}",
  "AK" + "IA{U16}",
  "AI" + "za{w35}",
  "dckr" + "_pat_{w27}",
  "np" + "m_{w36}",
  "hv" + "s.{w90}",
  "pul" + "-{h40}",
  "glsa" + "_{w32}_{h8}",
  "lin_" + "api_{w40}",
  "shp" + "at_{h32}",
  "SK{h32}",
  "rk_" + "live_{w24}",
  "DB_PASSWORD={w14}",
  "export STRIPE_SECRET={w24}",
  "stripeSecretKey: '{w24}'",
  'const apiKey = "{w32}"',
  'password_confirmation: "{w12}"',
  '"clientSecret": "{w40}"',
  '{\\"password\\":\\"{w16}\\"}',
  'api_token = "{w32}"',
  "secret-key: {w32}",
  ':password => "{w12}"',
  '$env:API_TOKEN = "{w32}"',
  'os.environ["API_TOKEN"] = "{w32}"',
  "define('DB_PASSWORD', '{w16}')",
  "spring.datasource.password={w14}",
  'var token string = "{w32}"',
  "password: |\n  {w24}\nother: 1",
  'setPassword("{w14}")',
  "<password>{w14}</password>",
  '<add key="ApiKey" value="{w32}"/>',
  "- name: DB_PASSWORD\n  value: {w14}",
  "Authorization: Bearer {w40}",
  "authorization: Basic {w24}==",
  "Authorization: ApiKey {w40}",
  "Proxy-Authorization: Basic {w24}",
  "X-Api-Key: {w32}",
  "X-Auth-Token: {w32}",
  "Cookie: sid={h40}",
  "Set-Cookie: session={w40}; HttpOnly",
  "mysql -u root -p{w14} shop",
  "mysqldump --password={w14} shop",
  "psql --password {w14}",
  "docker login -u me -p {w20} registry",
  "sshpass -p {w12} ssh me@host",
  "redis-cli -a {w20} ping",
  "curl -u me:{w16} https://x.org",
  "curl -H 'X-Token: {w32}' x",
  "PGPASSWORD={w12} psql",
  "openssl rsa -passin pass:{w14}",
  "aws configure set aws_secret_access_key {w40}",
  "htpasswd -b f me {w14}",
  "tool --api-key {w32}",
  "tool --token={w32}",
  "kubectl create secret generic s --from-literal=password={w14}",
  "echo {w20} | docker login -u me --password-stdin",
  "https://me:{w20}@github.com/a/b",
  "https://{w40}@github.com/a",
  "https://x.org/?access_token={w40}",
  "https://x.org/a?b=1&sig={w43}%3D",
  "postgres://app:{w14}@db/x",
  "mongodb+srv://u:{w12}@c.mongodb.net",
  "amqp://u:{w12}@mq:5672",
  "jdbc:mysql://h/db?user=u&password={w12}",
  "Server=x;User Id=u;Password={w14};",
  "DefaultEndpointsProtocol=https;AccountKey={w64}==",
  "machine x.org login me password {w14}",
  "db.example:5432:shop:me:{w14}",
  "//registry.example/:_authToken={w36}",
  "_auth={w24}",
  '{"auths":{"x":{"auth":"{w24}"}}}',
  "client-key-data: {w80}",
  "PrivateKey = {w43}=",
  "my password is {w12}",
  "the API key: {w32}",
  "das Passwort ist {w12}",
  "mein Kennwort lautet {w12}",
  "le mot de passe est {w12}",
  "mot de passe : {w12}",
  "la contraseña es {w12}",
  "a senha é {w12}",
  "пароль: {w12}",
  "密码是{w12}",
  "パスワードは{w12}です",
  "hasło: {w12}",
  "la parola d'ordine è {w12}",
  "wachtwoord is {w12}",
  "use this token for the deploy: {w32}",
  "ALTER USER me WITH PASSWORD '{w14}'",
  "CREATE USER me IDENTIFIED BY '{w14}'",
  "requirepass {w20}",
  "-----BEGIN " + "RSA PRIVATE KEY-----\n{w64}\n-----END RSA PRIVATE KEY-----",
  "-----BEGIN " + "OPENSSH PRIVATE KEY-----\\n{w64}\\n{w30}",
  "ey" + "J{w20}.ey" + "J{w40}.{w43}"
]

const isKept = (template: string): boolean => {
  const { secret, text } = fill(template)
  return [text, `before ${text} after`, `first\n${text}\nlast`].some((whole) =>
    Redaction.redact(whole).includes(secret)
  )
}

it(`takes out at least 97 % of ${templates.length} more formats (seed ${seed})`, () => {
  const unredacted = templates.filter(isKept)
  assert.isAtMost(unredacted.length, templates.length * 0.03, unredacted.join("\n"))
})

it.each([
  "token = lexer.next()",
  "const key = getKey()",
  "password: string",
  "process.env.TOKEN",
  "token: ${{ secrets.TOKEN }}",
  "API_KEY=<your-token>",
  "commit 9453c5c1f2aa0b6d3e4f5a6b7c8d9e0f1a2b3c4d",
  "id 0b5e7b0c-1111-4222-8333-444455556666",
  "tokens: 1500",
  "keyboard: german",
  "max_tokens=4096",
  "--token-limit 5",
  "secretName: my-secret",
  "const token = tokens[index]",
  "if (password === confirmation) return",
  "password: must have 12 characters",
  '"key": "value"',
  "readonly signature: Uint8Array"
])("leaves %s as it is", (text) => assert.strictEqual(Redaction.redact(text), text))

it("takes out a secret that a cut falls into, wherever it stands", () => {
  for (const length of [500, 1_000, 2_000]) {
    for (let before = length - 60; before <= length + 10; before += 7) {
      const { secret, text } = fill("gh" + "p_{w36}")
      const clean = Redaction.excerpt(`${"word ".repeat(before / 5)}${text} ${"more ".repeat(4_000)}`, length)
      assert.isFalse(clean.includes(secret.slice(0, 6)))
      assert.isAtMost(clean.length, length)
    }
  }
})
