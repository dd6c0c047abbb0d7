/**
 * Settings files as people leave them: odd blanks, comments in every place, any end of line, and hooks of others.
 */
import type { Generator } from "./Generator.ts"

export interface Manner {
  readonly comments: boolean
  readonly trailingCommas: boolean
  /** Whether arrays and objects may be empty. */
  readonly empty: boolean
}

const pick = <A>(random: Generator, choices: ReadonlyArray<A>): A => choices[random.int(choices.length)] as A

const words = ["a", "env", "model", "permissions", "ünï", "x y", "\\n", "//", "/*", '"', "}", "allow"]

/** Writes a random text, part by part. */
class Writer {
  private readonly eol: string
  private readonly random: Generator
  private readonly manner: Manner
  private readonly dense: boolean

  constructor(random: Generator, manner: Manner) {
    this.random = random
    this.manner = manner
    this.eol = pick(random, ["\n", "\r\n"])
    this.dense = random.chance(0.2)
  }

  gap(): string {
    const { random } = this
    if (this.dense) return ""
    const parts = Array.from({ length: random.int(3) }, () =>
      pick(random, [" ", "  ", "\t", this.eol, `${this.eol}  `, `${this.eol}\t`])
    )
    if (this.manner.comments && random.chance(0.15)) {
      parts.push(pick(random, [`// ${pick(random, words)}${this.eol}`, `/* ${random.int(99)} */`, `/*${this.eol}*/`]))
    }
    return parts.join("")
  }

  list(open: string, close: string, items: ReadonlyArray<string>): string {
    const inner = items.map((item) => `${this.gap()}${item}${this.gap()}`).join(",")
    const trailing = items.length > 0 && this.manner.trailingCommas && this.random.chance(0.3) ? "," : ""
    return `${open}${inner}${trailing}${this.gap()}${close}`
  }

  object(members: ReadonlyArray<readonly [string, string]>): string {
    const items = members.map(([name, value]) => `${JSON.stringify(name)}${this.gap()}:${this.gap()}${value}`)
    return this.list("{", "}", items)
  }

  some<A>(make: (index: number) => A): ReadonlyArray<A> {
    return Array.from({ length: this.random.int(4) + (this.manner.empty ? 0 : 1) }, (_, index) => make(index))
  }

  value(depth: number): string {
    const { random } = this
    if (depth > 0 && random.chance(0.4)) {
      return random.chance(0.5)
        ? this.list(
            "[",
            "]",
            this.some(() => this.value(depth - 1))
          )
        : this.object(this.some((index) => [`${pick(random, words)}${index}`, this.value(depth - 1)]))
    }
    return pick(random, ["1", "-0.5e3", "true", "null", JSON.stringify(pick(random, words)), '"\\u00e9"'])
  }

  handler(): string {
    return this.object([
      ["type", '"command"'],
      ["command", JSON.stringify(`run ${pick(this.random, words)}`)]
    ])
  }

  group(): string {
    const handlers = this.list(
      "[",
      "]",
      this.some(() => this.handler())
    )
    return this.object([...(this.random.chance(0.5) ? [["matcher", '"Bash"'] as const] : []), ["hooks", handlers]])
  }

  hooks(events: ReadonlyArray<string>): string {
    const own = events.filter(() => this.random.chance(0.4))
    const names = own.length === 0 && !this.manner.empty ? ["Other"] : own
    return this.object(
      names.map((name) => [
        name,
        this.list(
          "[",
          "]",
          this.some(() => this.group())
        )
      ])
    )
  }

  file(events: ReadonlyArray<string>): string {
    const { random } = this
    const before = this.some((index) => [`${pick(random, words)}${index}`, this.value(3)] as const)
    const hooks = random.chance(0.7) ? [["hooks", this.hooks(events)] as const] : []
    const after = random.chance(0.5) ? [["last", this.value(2)] as const] : []
    const members = random.chance(0.1) && this.manner.empty ? [] : [...before, ...hooks, ...after]
    const bom = random.chance(0.15) ? "\uFEFF" : ""
    if (this.manner.empty && random.chance(0.05)) return bom + this.gap()
    return `${bom}${this.gap()}${this.object(members)}${this.gap()}${random.chance(0.7) ? this.eol : ""}`
  }
}

/** A random settings file with hooks of others, some of them for the given events. */
export const make = (random: Generator, manner: Manner, events: ReadonlyArray<string>): string =>
  new Writer(random, manner).file(events)
