import { assert, describe, it } from "@effect/vitest"
import * as Outcome from "../../src/hooks/internal/toolOutcome.ts"
import { patchFiles } from "../../src/hooks/internal/patchFiles.ts"

const isFailure = (outcome: Outcome.ToolOutcome, error?: string) => {
  assert.strictEqual(outcome.outcome, "failure")
  if (outcome.outcome === "failure" && error !== undefined) assert.include(outcome.error, error)
}

/** How calls that were not carried out are reported. */
const refused = [
  "Permission to use Write with path /p/f1.ts has been denied.",
  "Permission to use Bash with command rm -rf / has been denied.",
  "Permission for this action has been denied. Reason: it deletes data",
  "Claude requested permissions to write to /p/f1.ts, but you haven't granted it yet.",
  "Claude requested permissions to use WebFetch, but you haven't granted it yet.",
  "This command requires approval",
  "The user doesn't want to proceed with this tool use. The tool use was rejected (eg. if it was a file edit, …)",
  "The user doesn't want to take this action right now. STOP what you are doing.",
  "User rejected tool use",
  "User refused permission to run tool",
  "The agent proposed a plan that was rejected by the user.",
  "exec command rejected by user",
  "patch rejected by user",
  "Tool execution denied by policy",
  "[Request interrupted by user for tool use]",
  "[Request interrupted by user]",
  "Interrupted by user",
  "Tool use was cancelled",
  "Request was aborted.",
  "Cancelled: parallel tool call Bash errored",
  "[Operation Cancelled] Reason: User cancelled the operation.",
  "aborted by user after 3.2s",
  "PreToolUse:Write hook error: [guard.sh]: not allowed",
  'PreToolUse:mcp__x__y hook blocking error from command: "guard": no',
  "Hook PreToolUse:Write denied this tool",
  "Tool call blocked by PreToolUse hook",
  "<tool_use_error>Error: File has not been read yet</tool_use_error>",
  "<tool_use_error>Error: No such tool available: NoSuchTool</tool_use_error>",
  "<tool_use_error>InputValidationError: Read failed</tool_use_error>",
  "No such tool available: X",
  'Tool "no_such_tool" not found in registry. Tools must use the exact names that are registered.',
  "InputValidationError: Read failed due to the following issues",
  "unsupported call: memory_search",
  "failed to parse function arguments: missing field"
]

/** How tools report that they succeeded. */
const done = [
  "File created successfully at: /p/f9.ts",
  "The file /p/x.ts has been updated successfully.",
  "hi",
  "",
  "1\t<tool_use_error>a line of a file</tool_use_error>",
  "ok\nPermission to use Write with path /p/f1.ts has been denied.",
  "grep: [Request interrupted by user] is in the file",
  "Users who rejected the tool: 3",
  "Permissions of the file: rw-r--r--",
  "Cancelled orders: 3",
  "The user interface is done"
]

describe("ofClaude", () => {
  it.each(refused)("classifies as a failure: %s", (text) => {
    for (const response of [text, ` ${text}`, [{ type: "text", text }]]) {
      for (const tool of ["Write", "Bash", "mcp__x__y"]) isFailure(Outcome.ofClaude(tool, response))
    }
  })

  it.each(done)("classifies as a success: %s", (text) => {
    for (const response of [text, [{ type: "text", text }], { stdout: text, stderr: "", interrupted: false }]) {
      assert.deepStrictEqual(Outcome.ofClaude("Write", response), Outcome.success)
      assert.deepStrictEqual(Outcome.ofClaude("Bash", response), Outcome.success)
    }
  })

  it("classifies an error name as a failure only if output can't begin with it", () => {
    for (const text of ["Error: EACCES: permission denied, open '/p/f6.ts'", "TypeError: x", "ENOENT: no such file"]) {
      isFailure(Outcome.ofClaude("Write", text), text)
      isFailure(Outcome.ofClaude("Edit", [{ type: "text", text }]), text)
      assert.deepStrictEqual(Outcome.ofClaude("Bash", text), Outcome.success)
      assert.deepStrictEqual(Outcome.ofClaude("WebFetch", text), Outcome.success)
    }
    assert.deepStrictEqual(Outcome.ofClaude("Write", "Errors are now logged"), Outcome.success)
  })

  it("distinguishes failed and interrupted commands from output with such words", () => {
    isFailure(Outcome.ofClaude("Bash", "Exit code 3\nbroken"), "broken")
    isFailure(Outcome.ofClaude("Bash", "Error: Exit code 127\nnot found"))
    isFailure(Outcome.ofClaude("Bash", { stdout: "a", stderr: "", interrupted: true }), "interrupted")
    isFailure(Outcome.ofClaude("mcp__x__y", { isError: true, content: [{ type: "text", text: "no" }] }), "no")
    for (const text of ["Exit code 0\n", "ok\nExit code 3", "Exit codes 3"]) {
      assert.deepStrictEqual(Outcome.ofClaude("Bash", text), Outcome.success)
    }
    assert.deepStrictEqual(Outcome.ofClaude("Read", "Exit code 3\n"), Outcome.success)
  })

  it("classifies unknown output as no failure", () => {
    for (const response of [undefined, null, 1, true, {}, [], [1, null, {}]]) {
      assert.deepStrictEqual(Outcome.ofClaude("Write", response), Outcome.success)
    }
  })
})

const gemini = (output: string, tail: string, returnDisplay: unknown = output) =>
  Outcome.ofGemini("run_shell_command", {
    llmContent: `<untrusted_context>\nOutput: ${output}\n${tail}Process Group PGID: 265\n</untrusted_context>`,
    returnDisplay
  })

describe("ofGemini", () => {
  it("decodes the exit code and signal behind the output", () => {
    isFailure(gemini("broken", "Exit Code: 3\n"), "broken")
    isFailure(gemini("broken", "Exit Code: 3\n", ""))
    isFailure(gemini("a", "Error: spawn failed\nExit Code: 1\nSignal: (none)\n", undefined))
    isFailure(gemini("a", "Signal: SIGKILL\n"))
    isFailure(gemini("(empty)", "Exit Code: 1\n", "Command exited with code: 1"))
    for (const tail of ["", "Exit Code: 0\n", "Exit Code: 0\nSignal: (none)\nBackground PIDs: 12\n"]) {
      assert.deepStrictEqual(gemini("hi", tail), Outcome.success)
    }
  })

  it("distinguishes them from the same words in a command's output", () => {
    for (const output of ["Exit Code: 3", "a\nExit Code: 3", "Exit Code: 3\nb", "a\nSignal: SIGKILL"]) {
      assert.deepStrictEqual(gemini(output, ""), Outcome.success)
      assert.deepStrictEqual(gemini(output, "Exit Code: 0\n"), Outcome.success)
      isFailure(gemini(output, "Exit Code: 1\n"))
    }
    assert.deepStrictEqual(gemini("Exit Code: 3\nb", "", undefined), Outcome.success)
    const read = { llmContent: "Output: a\nExit Code: 3\nProcess Group PGID: 1", returnDisplay: "" }
    assert.deepStrictEqual(Outcome.ofGemini("read_file", read), Outcome.success)
  })

  it("decodes errors and interruptions", () => {
    isFailure(Outcome.ofGemini("read_file", { llmContent: "x", error: { message: "File not found: /a" } }), "not found")
    isFailure(Outcome.ofGemini("replace", { error: "no" }), "no")
    isFailure(Outcome.ofGemini("replace", { error: {} }), "failed")
    isFailure(
      Outcome.ofGemini("run_shell_command", { llmContent: "Command was cancelled by user before it could complete." })
    )
    isFailure(Outcome.ofGemini("write_file", { llmContent: "Tool execution denied by policy." }))
    for (const response of [undefined, {}, { error: null }, { error: "" }, { llmContent: "ok" }, { llmContent: [] }]) {
      assert.deepStrictEqual(Outcome.ofGemini("replace", response), Outcome.success)
    }
  })
})

const qwenTail = (code: string) => `Error: (none)\nExit Code: ${code}\nSignal: (none)\nProcess Group PGID: (none)`

const inBatch = (own: object, more: object) => ({
  response_parts: [{ functionResponse: { id: "c", name: "t", response: own } }],
  result_display: "",
  ...more
})

const qwen = (own: object, more: object, status?: string) => Outcome.ofQwen("edit", inBatch(own, more), status)

describe("ofQwen", () => {
  it("decodes a command's exit code and ignores its output", () => {
    const of = (output: string, code: string) =>
      Outcome.ofQwen("run_shell_command", {
        llmContent: `Command: x\nDirectory: (root)\nOutput: ${output}\n${qwenTail(code)}`,
        returnDisplay: output
      })
    assert.deepStrictEqual(of("hi", "0"), Outcome.success)
    assert.deepStrictEqual(of("a\nExit Code: 3", "0"), Outcome.success)
    assert.deepStrictEqual(of(qwenTail("3"), "0"), Outcome.success)
    isFailure(of("broken", "3"), "broken")
  })

  it("decodes the status of a call in a batch", () => {
    assert.deepStrictEqual(qwen({ output: "ok" }, { execution_status: "success" }, "success"), Outcome.success)
    assert.deepStrictEqual(qwen({ output: "ok" }, {}), Outcome.success)
    isFailure(qwen({ error: "not read yet" }, { execution_status: "error" }, "error"), "not read yet")
    isFailure(qwen({ error: "no such tool" }, { error: "no such tool", execution_status: "not_started" }), "no such")
    isFailure(qwen({}, {}, "cancelled"), "cancelled")
    isFailure(qwen({ output: "x" }, { execution_status: "not_started" }))
  })
})

describe("ofCodex", () => {
  it("decodes the exit code from the formats that contain one", () => {
    isFailure(Outcome.ofCodex("Bash", "Exit code: 3\nWall time: 0.1 seconds\nOutput:\nbroken\n"), "broken")
    isFailure(
      Outcome.ofCodex("Bash", "Chunk ID: ab\nWall time: 1 seconds\nProcess exited with code 1\nOutput:\nbroken")
    )
    isFailure(Outcome.ofCodex("shell", JSON.stringify({ output: "broken", metadata: { exit_code: 3 } })), "broken")
    isFailure(Outcome.ofCodex("shell", { output: "broken", metadata: { exit_code: 3 } }), "broken")
    isFailure(Outcome.ofCodex("shell", { exit_code: 1 }), "exit code 1")
    isFailure(Outcome.ofCodex("apply_patch", "apply_patch verification failed: no such line"))
    isFailure(Outcome.ofCodex("Bash", "command timed out after 1000 milliseconds\nOutput:\n"))
    isFailure(Outcome.ofCodex("Bash", "Wall time: 3.2 seconds\naborted by user"))
    for (const text of [
      "Exit code: 0\nWall time: 0 seconds\nOutput:\nSuccess.",
      "Wall time: 1 seconds\nProcess exited with code 0\nOutput:\nProcess exited with code 1",
      JSON.stringify({ output: "exit 3", metadata: { exit_code: 0 } })
    ]) {
      assert.deepStrictEqual(Outcome.ofCodex("Bash", text), Outcome.success)
    }
  })

  it("returns no outcome for output alone", () => {
    for (const text of ["broken\n", "", "Exit code: 3\n", "Process exited with code 3", '{"output":1}', "{"]) {
      assert.deepStrictEqual(Outcome.ofCodex("Bash", text), Outcome.unknown)
    }
    assert.deepStrictEqual(Outcome.ofCodex("Bash", undefined), Outcome.unknown)
    assert.deepStrictEqual(Outcome.ofCodex("apply_patch", "Success. Updated"), Outcome.success)
    assert.deepStrictEqual(Outcome.ofCodex("mcp__x__y", [{ type: "text", text: "ok" }]), Outcome.success)
  })

  it.each(refused)("classifies as a failure: %s", (text) => isFailure(Outcome.ofCodex("Bash", text)))
})

const shell = (llmContent: string) => ({ llmContent, returnDisplay: "" })

describe("the error of a failure", () => {
  const long = `${"word ".repeat(5_000)}end`

  it.each<readonly [string, Outcome.ToolOutcome]>([
    ["Claude Code", Outcome.ofClaude("Bash", `Exit code 1\n${long}`)],
    ["Claude Code, refused", Outcome.ofClaude("Bash", `<tool_use_error>${long}</tool_use_error>`)],
    ["Codex", Outcome.ofCodex("Bash", `command timed out after 1 s: ${long}`)],
    ["Gemini CLI", Outcome.ofGemini("run_shell_command", shell(`Output: ${long}\nExit Code: 3`))],
    ["Gemini CLI, displayed", Outcome.ofGemini("shell", { llmContent: "", returnDisplay: `Command failed: ${long}` })],
    ["Qwen Code", Outcome.ofQwen("mcp__x__y", { error: long })]
  ])("is the whole text, for the redactor to truncate: %s", (_, outcome) => {
    isFailure(outcome, long)
  })
})

const patch = (...lines: ReadonlyArray<string>) => ["*** Begin Patch", ...lines, "*** End Patch"].join("\n")

describe("patchFiles", () => {
  it("returns each file once, as an absolute path", () => {
    assert.deepStrictEqual(
      patchFiles(
        patch(
          "*** Add File: made.txt",
          "+*** Add File: not-this.txt",
          "*** Update File: ./src/a b.ts",
          "*** Move to: src/c.ts",
          "@@",
          " *** Delete File: nor-this.txt",
          "*** Update File: made.txt",
          "*** Delete File: /abs/d.ts"
        ),
        "/work/project/"
      ),
      ["/work/project/made.txt", "/work/project/src/a b.ts", "/work/project/src/c.ts", "/abs/d.ts"]
    )
  })

  it("finds a patch inside a command, and nothing without one", () => {
    assert.deepStrictEqual(patchFiles(`apply_patch <<'EOF'\n${patch("*** Add File: a")}\nEOF`, "/w"), ["/w/a"])
    assert.deepStrictEqual(patchFiles("*** Add File: a", "/w"), [])
    assert.deepStrictEqual(patchFiles(patch(`*** Add File: ${"a".repeat(5_000)}`, "*** Add File:  "), "/w"), [])
    const many = patch(...Array.from({ length: 500 }, (_, n) => `*** Add File: ${n}`))
    assert.strictEqual(patchFiles(many, "/w").length, 100)
  })
})
