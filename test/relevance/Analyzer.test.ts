import { assert, describe, it } from "@effect/vitest"
import * as Analyzer from "../../src/relevance/Analyzer.ts"

const terms = (text: string) => [...Analyzer.frequencies(text).keys()]

/** The share of the query's terms that the text has. */
const share = (query: string, text: string) => {
  const known = new Set(terms(text))
  const wanted = terms(query)
  return wanted.filter((term) => known.has(term)).length / wanted.length
}

describe("Analyzer", () => {
  it("indexes an identifier as a whole and in its parts, whatever its spelling", () => {
    assert.deepStrictEqual(terms("payment-lock"), ["payment", "lock", "paymentlock"])
    for (const spelling of ["payment_lock", "paymentLock", "PaymentLock", "payment.lock"]) {
      assert.deepStrictEqual(terms(spelling), terms("payment-lock"), spelling)
    }
    assert.includeMembers(terms("acquirePaymentLock"), [
      "acquir",
      "payment",
      "lock",
      "paymentlock",
      "acquirepaymentlock"
    ])
    assert.includeMembers(terms("src/pay/lock.ts"), ["src", "lock", "ts", "srcpaylockt"])
    assert.includeMembers(terms("HTTPServer sha256 w31"), ["http", "server", "httpserver", "sha256", "256", "w31"])
  })

  it("finds words in each script, whatever their accents, marks and case", () => {
    for (const [query, text] of [
      ["迁移脚本", "部署计费服务之前必须先在预发环境运行迁移脚本"],
      ["ステージング", "請求サービスのデプロイはステージング環境を経由してから行う"],
      ["배포", "결제 서비스의 배포는 스테이징 브랜치를 거쳐서"],
      ["เรียกเก็บเงิน", "การปรับใช้บริการเรียกเก็บเงินต้องผ่าน"],
      ["तैनाती", "बिलिंग सेवा की तैनाती स्टेजिंग"],
      ["نشر", "يمر نَشْرُ خدمة الفواتير"],
      ["ענף", "דרך עֲנַף הבדיקות"],
      ["развертывание", "Развёртывание платёжного сервиса"],
      ["deploiement", "Le déploiement du service"],
      ["trien khai", "Triển khai dịch vụ"],
      ["prüfung", "Die Prüfung der Rückläufer".normalize("NFD")],
      ["istanbul", "İstanbul sunucusuna"],
      ["userprofile", "fetchUserProfile retries"]
    ] as const) {
      assert.strictEqual(share(query, text), 1, query)
    }
  })

  it("locates each word in the text", () => {
    const text = "L'été, HTTP_Server!"
    assert.deepStrictEqual(
      Analyzer.words(text).map(({ end, start }) => text.slice(start, end)),
      ["L", "été", "HTTP_Server"]
    )
  })

  it("reads the beginning and the end of a long query only", () => {
    const excerpt = Analyzer.excerpt(`first ${"x ".repeat(150_000)} last`)
    assert.isBelow(excerpt.length, 5_200)
    assert.isTrue(excerpt.startsWith("first") && excerpt.endsWith("last"))
  })
})
