/**
 * The daemon of the shim's bench: it responds immediately, so that only the shim is measured. Argument: the home.
 */
import * as fs from "node:fs"
import * as http from "node:http"
import { hostPaths } from "../src/host/paths.ts"
import * as Layout from "../src/host/paths.ts"

const places = hostPaths(process.argv[2]!)
fs.mkdirSync(places.folder, { recursive: true, mode: 0o700 })
fs.writeFileSync(places.token, "bench", { mode: 0o600 })

const context = "Memories of the project: one line for each event, with its time. ".repeat(50)
const answer = JSON.stringify({ hookSpecificOutput: { hookEventName: "SessionStart", additionalContext: context } })

const server = http.createServer((request, response) => {
  request.resume().on("end", () => {
    response.writeHead(200, {
      [Layout.headers.protocol]: Layout.protocol,
      // The shim does not replace a daemon of a newer version.
      [Layout.headers.version]: "999.0.0",
      "content-type": "application/json",
      "content-length": Buffer.byteLength(answer)
    })
    response.end(answer)
  })
})
server.listen(places.socket, () => process.stdout.write("ready\n"))
