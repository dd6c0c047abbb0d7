/**
 * Builds the events of a session, a second apart, in the worktree `/w`.
 */
import type { SessionEvent } from "../../../src/memory/facts/SessionEvent.ts"

let ids = 0

export class Session {
  readonly events: Array<SessionEvent> = []
  readonly id: string
  private time: number

  constructor(id: string, start = 0) {
    this.id = id
    this.time = start
  }

  add(type: string, content: string, more: Partial<SessionEvent> = {}): this {
    this.events.push({
      id: ++ids,
      sessionId: this.id,
      type,
      content,
      outcome: null,
      files: [],
      filesChanged: 0,
      timestamp: this.time,
      worktreePath: "/w",
      ...more
    })
    this.time += 1_000
    return this
  }

  wait(ms: number): this {
    this.time += ms
    return this
  }

  prompt = (text: string) => this.add("user_question", text)
  answer = (text: string) => this.add("assistant_message", text)
  note = (text: string) => this.add("note", text)
  succeeds = (command: string) => this.add("tool_execution", `Bash: ${command}`, { outcome: "success" })
  fails = (command: string, error: string) =>
    this.add("tool_execution", `Bash: ${command}\nfailed: ${error}`, { outcome: "failure" })
  edit = (file: string) =>
    this.add("tool_execution", `Edit: ${file}`, { outcome: "success", files: [file], filesChanged: 1 })
}
