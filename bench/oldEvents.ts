/**
 * Events of a project, spread over a year and over types, as hooks record them.
 */
import * as fs from "node:fs"
import { DatabaseSync } from "node:sqlite"

const words = ["cache", "login", "migration", "invoice", "search", "worker", "layout", "retry", "token", "report"]
const year = 365 * 24 * 3_600_000

/** Adds `count` events to a database that contains the project. */
export const insert = (filename: string, project: string, count: number): void => {
  const db = new DatabaseSync(filename)
  const folder = fs.realpathSync(project)
  const { id } = db.prepare("SELECT id FROM projects WHERE path = ?").get(folder) as { id: number }
  const event =
    db.prepare(`INSERT INTO episodic_events (project_id, session_id, timestamp, event_type, content, outcome,
    importance_score, last_activation, worktree_path, event_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
  const now = Date.now()
  db.exec("BEGIN")
  for (let i = 0; i < count; i++) {
    const at = now - Math.floor((year * (count - i)) / count)
    const prompt = i % 20 === 0
    const word = words[i % words.length]
    event.run(
      id,
      `old-${Math.floor(i / 60)}`,
      at,
      prompt ? "user_question" : "tool_execution",
      prompt ? `Please fix the ${word} of module ${i}` : `Edit: ${project}/src/${word}/file${i % 997}.ts`,
      prompt ? null : "success",
      prompt ? 0.75 : 0.5,
      at,
      folder,
      `bench-${i}`
    )
  }
  db.exec("COMMIT")
  db.close()
}
