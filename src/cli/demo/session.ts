/**
 * The hook events of a recorded session in a fictitious project, and of the session after it.
 */

/** One event, without the members that all events of a session share. */
export interface Step {
  readonly name: string
  readonly body: Readonly<Record<string, unknown>>
}

const step = (name: string, body: Readonly<Record<string, unknown>>): Step => ({ name, body })

const prompt = (id: string, text: string): Step => step("UserPromptSubmit", { prompt_id: id, prompt: text })

const tool = (
  id: string,
  name: string,
  input: Readonly<Record<string, unknown>>,
  response: unknown,
  ms: number
): Step =>
  step("PostToolUse", {
    tool_name: name,
    tool_input: input,
    tool_response: response,
    tool_use_id: id,
    duration_ms: ms
  })

const answer = (id: string, text: string): Step =>
  step("Stop", { prompt_id: id, stop_hook_active: false, last_assistant_message: text })

/** The first session: the memory is empty. */
export const first = (project: string): ReadonlyArray<Step> => [
  step("SessionStart", { source: "startup" }),
  prompt("p-0", "Where is the log level of the payment client's retry logger set?"),
  tool("t-0", "Grep", { pattern: "retryLogger", path: `${project}/src` }, { numFiles: 1 }, 11),
  answer(
    "p-0",
    "The retry logger of the payment client takes its log level from src/log/levels.ts, where it is `info`."
  ),
  prompt("p-1", "The checkout page times out when the payment service is slow. Find out why and fix it."),
  tool("t-1", "Grep", { pattern: "payment", path: `${project}/src` }, { numFiles: 2 }, 12),
  tool("t-2", "Read", { file_path: `${project}/src/payment/client.ts` }, { type: "text" }, 6),
  tool(
    "t-3",
    "Edit",
    { file_path: `${project}/src/payment/client.ts`, old_string: "fetch(url)", new_string: "fetch(url, { signal })" },
    { originalFile: "export const pay = (url: string) => fetch(url)\n" },
    9
  ),
  step("PostToolUseFailure", {
    tool_name: "Bash",
    tool_input: { command: "npm test -- payment", description: "Run the payment tests" },
    tool_use_id: "t-4",
    error: "Exit code 1\n1 failed: retries twice when the payment service answers 503",
    is_interrupt: false,
    duration_ms: 2310
  }),
  tool("t-5", "Edit", { file_path: `${project}/src/payment/retry.ts` }, {}, 8),
  tool("t-6", "Bash", { command: "npm test -- payment" }, { stdout: "14 passed", stderr: "" }, 2204),
  step("PostToolBatch", {
    tool_calls: [
      {
        tool_name: "Bash",
        tool_input: { command: "npm test -- payment" },
        tool_use_id: "t-6",
        tool_response: "14 passed"
      }
    ]
  }),
  answer(
    "p-1",
    "Fixed: the payment client had no timeout, so a slow payment service held the checkout page. It now gives up after " +
      "2 s and retries twice with jittered backoff (src/payment/retry.ts). All 14 payment tests pass."
  ),
  prompt("p-2", "Deploy it to staging with STAGING_TOKEN=ghp_9f8e7d6c5b4a3f2e1d0c9b8a7f6e5d4c3b2a"),
  tool("t-7", "Bash", { command: "STAGING_TOKEN=ghp_9f8e7d6c5b4a3f2e1d0c9b8a7f6e5d4c3b2a npm run deploy" }, {}, 9120),
  answer("p-2", "Deployed to staging. The checkout error rate there fell from 4 % to 0.1 % within five minutes."),
  prompt("p-2b", "Run the tests of the whole shop on Node 26 in CI from now on."),
  tool("t-7b", "Edit", { file_path: `${project}/.github/workflows/ci.yml` }, {}, 6),
  answer("p-2b", "CI now runs all tests on Node 26; the run on this branch took 3 minutes and passed."),
  step("SessionEnd", { prompt_id: "p-2b", reason: "prompt_input_exit" })
]

/** The next session: it receives memories of the first at its start and for matching prompts. */
export const second = (project: string): ReadonlyArray<Step> => [
  step("SessionStart", { source: "startup" }),
  prompt("p-3", "The retry logger of the payment client floods the logs. Lower its log level."),
  tool("t-8", "Read", { file_path: `${project}/src/log/levels.ts` }, { type: "text" }, 5),
  step("PostToolUseFailure", {
    tool_name: "Bash",
    tool_input: { command: "npm run lint" },
    tool_use_id: "t-9",
    error: "Exit code 2\nsrc/log/levels.ts: unused variable retryLevel",
    is_interrupt: false,
    duration_ms: 900
  }),
  tool("t-10", "Edit", { file_path: `${project}/src/log/levels.ts` }, {}, 7),
  step("PostToolBatch", {
    tool_calls: [
      {
        tool_name: "Edit",
        tool_input: { file_path: `${project}/src/log/levels.ts` },
        tool_use_id: "t-10",
        tool_response: "ok"
      }
    ]
  }),
  answer("p-3", "The retry logger now logs at `debug`: one line a checkout instead of one an attempt."),
  step("SessionEnd", { prompt_id: "p-3", reason: "prompt_input_exit" })
]
