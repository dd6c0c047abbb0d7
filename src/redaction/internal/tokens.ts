/**
 * Keys and tokens of services, known by their prefixes.
 */
import { boundary, cut, row, type Row, token } from "./Detector.ts"
import { isRandom } from "./values.ts"

const word = "[A-Za-z0-9]"
const wide = "[\\w-]"
const hex = "[0-9a-fA-F]"
const base64 = "[A-Za-z0-9+/=_-]"
const uuid = `${hex}{8}-${hex}{4}-${hex}{4}-${hex}{4}-${hex}{1,12}`

/** Clouds, hosting and databases. */
const platforms: ReadonlyArray<Row> = [
  token(
    "aws-key-id",
    "akia asia agpa aida aroa anpa abia acca",
    "AKIA|ASIA|AGPA|AIDA|AROA|ANPA|ABIA|ACCA",
    "[A-Z0-9]",
    16
  ),
  row(
    "aws-secret-after-id",
    "akia asia",
    `${boundary}(?:AKIA|ASIA)[A-Z0-9]{16}["'\\s,:;/|]{1,20}([A-Za-z0-9+/]{40,}|[A-Za-z0-9+/]{1,39}${cut})`
  ),
  token("aws-session", "fwogzxivyxdz iqojb3jpz2lu", "FwoGZXIvYXdz|IQoJb3JpZ2lu", base64, 20),
  token("aws-bedrock", "absk bedrock-api-key-", "ABSK|bedrock-api-key-", base64, 40),
  token("aws-mws", "amzn.mws.", "amzn\\.mws\\.", "[0-9a-f-]", 32),
  token("gcp-api-key", "aiza", "AIza", wide, 35),
  token("gcp-access-token", "ya29.", "ya29\\.", "[\\w.-]", 20),
  token("gcp-client-secret", "gocspx-", "GOCSPX-", wide, 20),
  token("gcp-refresh-token", "1//0", "1//0", wide, 20),
  row("azure-client-secret", "q~", `${boundary}[\\w~.-]{3}\\dQ~[\\w~.-]{31,}`, { run: true }),
  row(
    "azure-identifiable-key",
    "+ast +amc +arm +acr azsea azfu acdb aiot apim azca",
    `(?<![A-Za-z0-9+/=-])[A-Za-z0-9+/]{32,80}(?:\\+ASt|\\+AMC|\\+ARm|\\+ACR|AzSe|AzFu|ACDb|AIoT|APIM|AzCa)[A-Za-z0-9+/]{4,9}={0,2}`,
    { run: true }
  ),
  row("azure-devops", "azdo", `${boundary}[A-Za-z0-9]{60,80}AZDO[A-Za-z0-9]{4}`, { run: true }),
  token("alibaba", "ltai", "LTAI", word, 16),
  token("tencent", "akid", "AKID", word, 32, { accepts: isRandom }),
  token("baidu", "bce-v3/", "bce-v3/ALTAK-", "[\\w/-]", 20),
  token("yandex", "t1. aqvn y0_ y1_ y2_ y3_", "t1\\.[A-Z0-9a-z_-]{10,60}={0,2}\\.|AQVN|y[0-3]_", wide, 30),
  token("digitalocean", "dop_v1_ doo_v1_ dor_v1_", "do[opr]_v1_", hex, 40),
  token("heroku", "hrku-", "HRKU-", wide, 30),
  token("cloudflare-origin", "v1.0-", `v1\\.0-${hex}{20,30}-`, hex, 100),
  token("cloudflare", "cfat_ cfut_ cfk_", "cf(?:at|ut|k)_", wide, 32),
  token("vercel", "vcp_ vci_ vca_ vcr_ vck_ vercel_blob_rw_", "vc[piark]_|vercel_blob_rw_", wide, 20),
  token("netlify", "nfp_ nfc_ nfb_ nfo_ nfu_", "nf[pcbou]_", word, 30),
  token("supabase", "sbp_ sb_secret_", "sbp_|sb_secret_", wide, 20),
  token("fly", "fm1_ fm2_ fm1r_ fm2r_ fm1a_ fm2a_ fo1_", "(?:FlyV1 )?(?:fm[12][ar]?_|fo1_)", "[A-Za-z0-9+/=,_-]", 30, {
    back: 6
  }),
  token("render", "rnd_", "rnd_", word, 20, { accepts: isRandom }),
  token("planetscale", "pscale_", "pscale_(?:tkn|oauth|pw|otkn)_", "[\\w.=-]", 20),
  token("neon", "napi_ npg_", "napi_|npg_", word, 12, { accepts: isRandom }),
  token("upstash", "upstash_", "upstash_[a-z]{2,10}_", wide, 20),
  token("tailscale", "tskey-", "tskey-[a-z]{2,20}-", "[\\w-]", 10),
  token("scaleway", "scw", "SCW", "[A-Z0-9]", 17),
  token("swarm", "swmtkn-", "SWMTKN-1-", "[a-z0-9-]", 25),
  token("openshift", "sha256~", "sha256~", wide, 32),
  token("terraform-cloud", ".atlasv1.", "[A-Za-z0-9]{8,20}\\.atlasv1\\.", wide, 20, { run: true }),
  token("pulumi", "pul-", "pul-", hex, 40),
  token("doppler", "dp.", "dp\\.(?:st|pt|ct|sa|scim|audit)\\.(?:[\\w-]{2,40}\\.)?", word, 20),
  token("vault", "hvs. hvb. hvr.", "hv[sbr]\\.", wide, 20),
  row(
    "vault-legacy",
    "s. b.",
    `${boundary}(?<![.\\w])[sb]\\.(?=[A-Za-z]{0,23}\\d)(?=[a-z0-9]{0,23}[A-Z])[A-Za-z0-9]{24}(?![\\w.(])`,
    { run: true }
  ),
  token("infisical", "st.", `st\\.${hex}{24}\\.`, "[\\w.]", 20),
  token("1password", "ops_ey", "ops_ey", base64, 30),
  row(
    "1password-secret-key",
    "a3-",
    `${boundary}A3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){2,3}`,
    { run: true }
  ),
  row("bitwarden", "0.", `${boundary}0\\.${uuid}\\.[A-Za-z0-9]{20,}`, { run: true }),
  token("databricks", "dapi dkea dose", "dapi|dkea|dose", "[0-9a-f-]", 32),
  token("confluent", "cflt", "cflt", base64, 40, { accepts: isRandom }),
  token("elastic", "essu_", "essu_", base64, 20),
  token("mongodb-service-account", "mdb_sa_", "mdb_sa_(?:sk|id)_", wide, 20),
  token("redpanda", "rpk_", "rpk_", word, 20),
  token("aiven", "aivenv1", "AivenV1", base64, 20),
  token("turso", "tsk_", "tsk_", wide, 24, { accepts: isRandom }),
  token("tinybird", "p.eyj", "p\\.eyJ", "[\\w.-]", 20)
]

/** Repositories, packages and builds. */
const development: ReadonlyArray<Row> = [
  token("github", "ghp_ gho_ ghu_ ghs_ ghr_", "gh[pousr]_", "[A-Za-z0-9._-]", 20),
  token("github-fine-grained", "github_pat_", "github_pat_", "\\w", 20),
  token(
    "gitlab",
    "glpat- gldt- glrt- glrtr- glcbt- glptt- glft- glimt- glagent- glsoat- gloas- glffct- glwt- gr1348941",
    "gl(?:pat|dt|rtr?|cbt|ptt|ft|imt|agent|soat|oas|ffct|wt)-|GR1348941",
    "[\\w.=-]",
    16
  ),
  token("bitbucket", "atbb atctt3 atatt3 atstt atoa", "AT(?:BB|CTT3|ATT3|STT|OA)", base64, 20, { accepts: isRandom }),
  token("npm", "npm_", "npm_", word, 30),
  token("pypi", "pypi-", "pypi-", wide, 40),
  token("rubygems", "rubygems_", "rubygems_", hex, 40),
  token("crates", "cio", "cio", word, 32, { accepts: isRandom }),
  token("clojars", "clojars_", "CLOJARS_", word, 40),
  token("nuget", "oy2", "oy2", "[a-z0-9]", 43),
  token("jsr", "jsrp_ jsrd_", "jsr[pd]_", word, 20),
  token("packagist", "packagist_", "packagist_[a-z]{2,4}_", word, 30),
  token("docker", "dckr_pat_ dckr_oat_", "dckr_[po]at_", wide, 20),
  token("artifactory", "akcp cmvmdgtu", "AKCp|cmVmdGtu", word, 40),
  token("circleci", "ccipat_ cciprj_", "CCIP(?:AT|RJ)_", "[\\w-]", 20),
  token("buildkite", "bkua_ bkat_ bkaj_ bkpt_", "bk(?:ua|at|aj|pt)_", word, 30),
  token("sonarqube", "sqp_ squ_ sqa_", "sq[pua]_", hex, 40),
  token("snyk", "snyk_", "snyk_(?:sat|uat|pat|oat)\\.", "[\\w.-]", 20),
  token("sourcegraph", "sgp_", "sgp_", "[\\w]", 40),
  token("octopus", "api-", "API-", "[A-Z0-9]", 25, { accepts: isRandom }),
  token("infracost", "ico-", "ico-", word, 30, { accepts: isRandom }),
  token("prefect", "pnu_ pnb_", "pn[ub]_", word, 30),
  token("postman", "pmak- pmat-", "PMA[KT]-", wide, 20),
  token("readme", "rdme_", "rdme_", "[a-z0-9]", 40),
  token("scalingo", "tk-us- tk-eu-", "tk-(?:us|eu)-", wide, 40),
  token("harness", "pat.", "pat\\.[\\w-]{20,24}\\.", "[\\w.-]", 20),
  token("trigger-dev", "tr_dev_ tr_prod_ tr_stg_ tr_pat_", "tr_(?:dev|prod|stg|pat)_", word, 16),
  token("inngest", "signkey-", "signkey-[a-z]{2,10}-", hex, 32),
  token("expo", "expo_", "expo_(?:pat|robot)_", wide, 20),
  token("cypress-percy", "web_ app_ auto_", "(?:web|app|auto)_", "[0-9a-f]", 64),
  token("launchdarkly", "api- sdk- mob-", `(?:api|sdk|mob)-(?=${uuid})`, "[0-9a-f-]", 36),
  token("unkey", "unkey_", "unkey_", word, 16)
]

/** Models. */
const models: ReadonlyArray<Row> = [
  token("openai-project", "sk-", "sk-(?:proj|svcacct|admin|None|ant|or-v1|lf|helicone|kimi|cp)-", wide, 16),
  token("openai", "sk- sess-", "sk-|sess-", wide, 16, { accepts: isRandom }),
  token("groq", "gsk_", "gsk_", word, 20),
  token("xai", "xai-", "xai-", wide, 40),
  token("perplexity", "pplx-", "pplx-", word, 30),
  token("replicate", "r8_", "r8_", wide, 30),
  token("hugging-face", "hf_ api_org_", "hf_|api_org_", word, 28, { accepts: isRandom }),
  token("pinecone", "pcsk_", "pcsk_", "\\w", 20),
  token("langsmith", "lsv2_", "lsv2_(?:pt|sk|sv)_", "\\w", 20),
  token("langfuse", "pk-lf-", "pk-lf-", "[0-9a-f-]", 20),
  token("nvidia", "nvapi-", "nvapi-", wide, 30),
  token("cerebras", "csk-", "csk-", word, 30),
  token("together", "tgp_v1_", "tgp_v1_", wide, 20),
  token("fireworks", "fw_", "fw_", word, 20, { accepts: isRandom }),
  token("tavily", "tvly-", "tvly-", wide, 20),
  token("firecrawl", "fc-", "fc-", hex, 32),
  token("jina", "jina_", "jina_", wide, 30),
  token("voyage", "pa- al-", "(?:pa|al)-", wide, 40, { accepts: isRandom }),
  token("eleven-labs", "sk_", "sk_", hex, 40),
  token("brave-search", "bsa", "BSA", wide, 24, { accepts: isRandom }),
  token("mem0", "m0-", "m0-", word, 30),
  token("zep", "z_1d", "z_1d", "[\\w.-]", 30),
  token("e2b", "e2b_ sk_e2b_", "(?:sk_)?e2b_", word, 30),
  token("runpod", "rpa_", "rpa_", word, 30),
  token("modal", "ak- as-", "a[ks]-", word, 20, { accepts: isRandom }),
  token("wandb", "wandb_v1_", "wandb_v1_", "\\w", 20),
  token("cursor", "crsr_ key_", "crsr_|key_", "[0-9a-f]", 48),
  token("anyscale", "esecret_ aph0_", "esecret_|aph0_", word, 20),
  token("composio", "ak_ uak_ oak_", "[uo]?ak_", wide, 20, { accepts: isRandom }),
  token("landing-ai", "land_sk_", "land_sk_", word, 20),
  token("deepgram-style", "dg_ gladia_ hume_", "(?:dg|gladia|hume)_", word, 32, { accepts: isRandom })
]

/** Messages and people. */
const communication: ReadonlyArray<Row> = [
  token(
    "slack",
    "xoxa- xoxb- xoxc- xoxd- xoxe- xoxo- xoxp- xoxr- xoxs- xoxe. xapp- xwfp-",
    "(?:xoxe\\.)?xox[abcdeoprs]-|xapp-|xwfp-",
    "[\\w%+/=.-]",
    10
  ),
  row(
    "slack-webhook",
    "hooks.slack.com hooks.slack-gov.com",
    "hooks\\.slack(?:-gov)?\\.com/(?:services|workflows|triggers)/([\\w/]{10,})",
    { flags: "i" }
  ),
  row("discord-bot", ".", `${boundary}[MNO][A-Za-z\\d]{22,27}\\.[\\w-]{6}\\.[\\w-]{20,}`, { run: true }),
  token("discord-mfa", "mfa.", "mfa\\.", wide, 60),
  row("discord-webhook", "/webhooks/", "discord(?:app)?\\.com/api(?:/v\\d{1,2})?/webhooks/(\\d{5,25}/[\\w-]{20,})", {
    flags: "i",
    back: 28
  }),
  row("telegram", ":aa :ab :ac :ad :ae :af :ag :ah", `(?<!\\d)\\d{8,10}:A[\\w-]{33,}`, { back: 10 }),
  row("telegram-cut", ":aa", `(?<!\\d)\\d{8,10}:AA[\\w-]{1,32}${cut}`, { back: 10 }),
  row("office-webhook", "office.com/webhook", "office\\.com/webhook(?:b2)?/([\\w@/-]{30,})", { flags: "i" }),
  row(
    "automation-webhook",
    "hooks.zapier.com hook.eu hook.us maker.ifttt.com hooks.airtable.com",
    "(?:hooks\\.zapier\\.com/hooks/catch/\\d{1,12}/|hook\\.[eu][us]\\d\\.make\\.com/|maker\\.ifttt\\.com/[\\w/{}-]{1,80}/key/|hooks\\.airtable\\.com/workflows/v1/genericWebhook/)([\\w/-]{6,})",
    { flags: "i" }
  ),
  token("twilio", "sk", "SK", "[0-9a-f]", 32, {
    run: true,
    accepts: (secret) => secret.length === 34 || secret.length < 32
  }),
  token("sendgrid", "sg.", "SG\\.", "[\\w.-]", 32),
  token("mailgun", "key-", "(?:pub)?key-", hex, 32),
  row("mailchimp", "-us", `${boundary}[0-9a-f]{32}-us\\d{1,2}(?!\\w)`, { run: true }),
  token("mandrill", "md-", "md-", wide, 22, { accepts: isRandom }),
  token("brevo", "xkeysib- xsmtpsib-", "x(?:key|smtp)sib-", wide, 40),
  token("resend", "re_", "re_", "\\w", 20, { accepts: isRandom }),
  token("facebook", "eaa", "EAA[A-Z]", word, 60),
  token("twitter-bearer", "aaaaaaaaaaaaaaaaaaaa", "A{20}", "[\\w%-]", 40, { accepts: isRandom }),
  token("linkedin", "wpl_ap1.", "WPL_AP1\\.", "[\\w.=+/]", 16),
  row("firebase-messaging", ":apa91b", ":(APA91b[\\w-]{40,})"),
  row("firebase-server-key", "aaaa", `${boundary}AAAA[\\w-]{7}:[\\w-]{100,}`),
  token("intercom", "dg9rog", "dG9rOg", base64, 30),
  token("hubspot", "pat-", "pat-(?:na|eu|ap)\\d-", "[0-9a-f-]", 30),
  row("pagerduty", "u+", `${boundary}(?:u\\+|pdus\\+)[\\w-]{18,}`, { run: true })
]

/** Money. */
const payments: ReadonlyArray<Row> = [
  token("stripe", "k_live_ k_test_ k_prod_", "[rspw]k_(?:live|test|prod)_", "[A-Za-z0-9_]", 10, { back: 1 }),
  token("stripe-webhook", "whsec_", "whsec_", base64, 16),
  token("shopify", "shpat_ shpca_ shppa_ shpss_ shptka_ shprt_", "shp(?:at|ca|pa|ss|tka|rt)_", hex, 24),
  token("square", "sq0", "sq0(?:atp|csp|idp|ats|acp)-", wide, 20),
  row("braintree", "access_token$", "access_token\\$(?:production|sandbox)\\$([0-9a-z]{10,40}\\$[0-9a-f]{20,})"),
  token("adyen", "aqe", "AQE", "[\\w+/=.<>&*^$#@!(){}\\[\\]|:;-]", 60, { accepts: isRandom }),
  token("razorpay", "rzp_", "rzp_(?:live|test)_", word, 12),
  token("flutterwave", "flwseck flwpubk", "FLW(?:SEC|PUB)K(?:_TEST)?-", wide, 20),
  token("checkout", "sk_sbox_ pk_sbox_", "[sp]k_sbox_", "[\\w*#$=-]", 20),
  token("plaid", "access-", "access-(?:sandbox|development|production)-", "[0-9a-f-]", 30),
  token("mercury", "secret-token:", "secret-token:", "[\\w%.~:/-]", 16),
  token("lob-gocardless", "live_ test_", "(?:live|test)_(?:pub_)?", wide, 35, { accepts: isRandom }),
  token("easypost", "ezak ezt", "EZ[AT]K", word, 54),
  token("shippo", "shippo_", "shippo_(?:live|test)_", hex, 30),
  token("duffel", "duffel_", "duffel_(?:live|test)_", wide, 30)
]

/** Observation, content and everything else. */
const others: ReadonlyArray<Row> = [
  token("sentry", "sntrys_ sntryu_ sntrya_ sntryi_", "sntry[suai]_", base64, 20),
  token("new-relic", "nrak- nrjs- nrii- nriq- nraa- nrra- nrsp- nrbr-", "NR(?:AK|JS|II|IQ|AA|RA|SP|BR)-", wide, 15),
  row("new-relic-licence", "nral", `${boundary}[0-9a-f]{30,40}(?:FFFF)?NRAL`, { run: true }),
  token("grafana", "glsa_ glc_", "glsa_|glc_", base64, 24),
  token("datadog", "ddapp_ ddapi_ ddpat_", "ddp?a(?:pp|pi|t)_", word, 20),
  token("dynatrace", "dt0", "dt0[a-z]\\d{2}\\.", "[A-Z0-9.]", 24),
  token("honeycomb", "hcaik_ hcaic_ hcamk_ hcbik_ hcxik_ hcalk_", "hc[a-z]{2,3}k_", word, 30),
  token("posthog", "phc_ phx_ phs_ pha_ phr_", "ph[cxsar]_", word, 30),
  token("rollbar-style", "rbt_ bugsnag_", "rbt_|bugsnag_", word, 30),
  token("atlassian", "atatt3 atctt3", "AT[AC]TT3", base64, 20),
  token("trello", "atta", "ATTA", hex, 40),
  token("linear", "lin_api_ lin_oauth_ lin_wh_", "lin_(?:api|oauth|wh)_", word, 20),
  token("notion", "ntn_ secret_", "ntn_|secret_", word, 40),
  token("figma", "figd_ figo_ figu_ figor_", "fig(?:d|o|u|or)_", wide, 20),
  token(
    "asana",
    "1/0 1/1 1/2 1/3 1/4 1/5 1/6 1/7 1/8 1/9 2/0 2/1 2/2 2/3 2/4 2/5 2/6 2/7 2/8 2/9",
    "[12]/\\d{10,20}(?:/\\d{10,20})?:",
    hex,
    32
  ),
  token("clickup", "pk_", "pk_\\d{4,12}_", "[A-Z0-9]", 32),
  token("airtable", "pat", "pat[A-Za-z0-9]{14}\\.", hex, 40, { run: true }),
  token("contentful", "cfpat-", "CFPAT-", wide, 30),
  token("typeform", "tfp_", "tfp_", "[\\w.-]", 30),
  token("sanity", "sk", "sk", word, 80, { run: true, accepts: (secret) => secret.length > 80 && isRandom(secret) }),
  token("mapbox", "sk.ey pk.ey tk.ey", "[spt]k\\.eyJ", "[\\w.-]", 20),
  token("dropbox", "sl.", "sl\\.(?:u\\.)?", wide, 60),
  row("maxmind", "_mmk", `${boundary}[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk`, { run: true }),
  token("frameio", "fio-u-", "fio-u-", wide, 40),
  token("lichess", "lip_ lio_", "li[po]_", word, 18),
  row("rapidapi", "msh", `${boundary}[0-9a-f]{10}msh[0-9a-f]{15}p1[0-9a-f]{6}jsn[0-9a-f]{12}`, { run: true }),
  token("zuplo", "zpka_", "zpka_", "\\w", 30),
  token("settlemint", "sm_aat_ sm_pat_ sm_sat_", "sm_[aps]at_", word, 16),
  token("ngrok", "_", "(?:ak_|cr_)?2[A-Za-z0-9]{26}_", word, 20, { run: true }),
  token("segment", "sgp_", "sgp_", word, 60),
  token("ringcentral-style", "rc_ vonage_", "(?:rc|vonage)_", wide, 40, { accepts: isRandom }),
  token("okta", "ssws", "SSWS\\s{1,3}", wide, 20)
]

/** Keys and tokens in formats that many services share. */
const formats: ReadonlyArray<Row> = [
  // JSON in base64; a token of it is often cut off, so one part that is followed by another will do.
  row("jwt", "eyj", `${boundary}eyJ[\\w-]{8,}(?:\\.[\\w-]{1,}){0,4}`, { accepts: (secret) => secret.includes(".") }),
  row("jwt-cut", "eyj", `${boundary}eyJ[\\w-]{8,64}\\.?${cut}`),
  row("base64-json", "eyj", `${boundary}(?<!base64,)eyJ[A-Za-z0-9+/_-]{37,}={0,2}`),
  row(
    "password-hash",
    "$2$ $2a$ $2b$ $2x$ $2y$ $1$ $5$ $6$ $y$ $7$ $argon2 $apr1$ $scrypt $pbkdf2 {ssha {sha pbkdf2_sha scram-sha-256$",
    `(?<![\\w$])(?:\\$(?:2[abxy]?|1|5|6|7|y|apr1|argon2(?:id|i|d)|scrypt|pbkdf2[\\w-]{0,10})\\$[\\w./$=,+-]{20,}|\\{S?SHA\\d{0,3}\\}[A-Za-z0-9+/=]{20,}|pbkdf2_sha\\d{1,3}\\$\\d{1,7}\\$[\\w./$=+-]{20,}|SCRAM-SHA-256\\$\\d{1,7}:[\\w./$=+:-]{20,})`,
    { flags: "i" }
  ),
  row("bitcoin-key", "xprv yprv zprv tprv uprv vprv", `${boundary}[xyztuv]prv[1-9A-HJ-NP-Za-km-z]{90,}`),
  token("nostr", "nsec1", "nsec1", "[a-z0-9]", 50),
  row("age-key", "age-secret-key-", "AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]{6,}", { flags: "i" }),
  row("otp-seed", "otpauth", "otpauth://[^\\s\"'<>]{1,300}?[?&]secret=([A-Za-z2-7=%]{8,})", { flags: "i" }),
  row(
    "json-web-key",
    '"d" "p" "q" "dp" "dq" "qi" "k" "d\\" "p\\" "q\\" "dp\\" "dq\\" "qi\\" "k\\"',
    `"(?:d|p|q|dp|dq|qi|k)\\\\?"\\s{0,3}:\\s{0,3}\\\\?"([\\w-]{20,})`
  ),
  row("putty-key", "private-lines", "Private-Lines:\\s{0,3}\\d{1,4}\\s{1,3}([A-Za-z0-9+/=\\s]{16,})"),
  row(
    "private-key",
    "-----begin",
    "-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[^]*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|$)"
  ),
  row(
    "private-key-ssh2",
    "----␣begin␣ssh2",
    "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----[^]*?(?:---- END SSH2 ENCRYPTED PRIVATE KEY ----|$)"
  ),
  // The body of a key whose first line was cut off or left out.
  row(
    "private-key-body",
    "b3blbnnzac1rzxktdje mii mhccaqee migh mc4caqaw lqopbf lqvybf lqdgbg",
    `${boundary}(?:b3BlbnNzaC1rZXktdjE|MII[A-Za-z0-9+/]{1,2}(?:gIBAAK|wIBAAK|AIBAAK|QIBAAK|gIBADAN|wIBADAN|AIBADAN|QIBADAN)|MHcCAQEE|MIG[HTk]AgEAM|MC4CAQAwBQYDK2V|lQ(?:OpB|OYB|VYB|dGB|PGB|HYB|IGB)[FGM])(?:[A-Za-z0-9+/=]|\\\\[nr]|\\s(?![^\\n]{0,3}[\\s:,.]))*`
  )
]

export const rows: ReadonlyArray<Row> = [
  ...platforms,
  ...development,
  ...models,
  ...communication,
  ...payments,
  ...others,
  ...formats
]
