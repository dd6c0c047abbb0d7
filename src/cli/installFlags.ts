/**
 * The options that `athena install` and `athena uninstall` share.
 */
import * as Flag from "effect/cli/Flag"
import * as Agents from "../install/Agents.ts"

export const agent = Flag.Literals(
  "agent",
  Agents.all.map(({ name }) => name)
).pipe(Flag.withDescription("Coding agent"), Flag.withDefault("claude" as const))

export const scope = Flag.Literals("scope", ["user", "project"]).pipe(
  Flag.withDescription("user: all your projects; project: the repository of the current folder"),
  Flag.withDefault("user" as const)
)

export const post = Flag.Boolean("post").pipe(
  Flag.withDescription(
    "Post events to the daemon even if several people log in to this machine; --no-post runs a command per event"
  ),
  Flag.optional
)

export const dryRun = Flag.Boolean("dry-run").pipe(
  Flag.withDescription("Print the changes as a diff without applying them"),
  Flag.withDefault(false)
)
