import { assert, describe, it } from "@effect/vitest"
import * as PreferenceFacts from "../../../src/memory/facts/PreferenceFacts.ts"
import { Session } from "./Session.ts"

const preferences = (prompt: string) => PreferenceFacts.observe(new Session("s").prompt(prompt).events)

const subject = (text: string) => preferences(text)[0]!.subject

describe("PreferenceFacts", () => {
  it.each([
    "I prefer small commits",
    "we prefer composition over inheritance here",
    "From now on write the changelog in French.",
    "Always use pnpm in this repository",
    "please never commit to main",
    "Don't ever touch the generated files",
    "use pnpm instead of npm",
    "Use Vitest, not Jest.",
    "stop adding comments that repeat the code",
    "I don't want to see floats in money code again",
    "rule for the future: plan only",
    "ab sofort bitte auf Deutsch antworten",
    "verwende immer relative Pfade",
    "nimm pnpm statt npm",
    "je préfère des commits courts",
    "utilise toujours wp-cli",
    "désormais, écris les tests d'abord",
    "prefiero respuestas cortas",
    "usa pnpm en vez de npm",
    "a partir de agora escreva em português",
    "d'ora in poi scrivi i test",
    "voortaan graag in het Nederlands",
    "od teraz pisz po polsku",
    "всегда пиши миграции обратимыми",
    "используй pnpm вместо npm",
    "以后代码注释统一用中文",
    "用 pnpm 而不是 npm",
    "今後は日本語で答えて",
    "npm ではなく pnpm を使ってください",
    "앞으로는 한국어로 답해줘"
  ])("finds a preference, word for word: %s", (text) => {
    assert.deepStrictEqual(
      preferences(`Fix the parser.\n${text}`).map((one) => one.text),
      [text]
    )
  })

  it.each([
    "why do you always use npm?",
    "do you prefer npm",
    "the test always fails on Mondays",
    "it never returns",
    "this has never worked",
    "we always get an error here",
    "never mind",
    "always the same error",
    "use single quotes instead of double ones in this file",
    "for now use npm instead of pnpm",
    'add a button that says "always use dark mode"',
    "rename `never_use_this` to `unused`",
    "> always use npm",
    "```\nalways use npm\n```",
    "why does the log say from now on?",
    "der Test schlägt immer fehl",
    "le test échoue toujours",
    "тест всегда падает",
    "测试总是失败",
    "commit this",
    "from the list, delete the first entry"
  ])("takes for no preference: %s", (text) => {
    assert.deepStrictEqual(preferences(text), [])
  })

  it("reads only what a user wrote, and no pasted document", () => {
    const generated = "<task-notification>\n<task-id>b</task-id>always use npm</task-notification>"
    assert.deepStrictEqual(preferences(generated), [])
    assert.deepStrictEqual(PreferenceFacts.observe(new Session("s").answer("Always use npm.").events), [])
    assert.deepStrictEqual(preferences(`Always use npm. ${"word ".repeat(400)}`), [])
    assert.deepStrictEqual(preferences(`always use ${"word ".repeat(100)}`), [])
  })

  it("gives two wishes about the same two things one subject, in either direction", () => {
    assert.strictEqual(subject("use pnpm instead of npm"), subject("from now on use npm rather than pnpm"))
    assert.notStrictEqual(subject("use pnpm instead of npm"), subject("use pnpm instead of yarn"))
    assert.strictEqual(subject("Never commit to main!"), subject("never commit to main"))
  })
})
