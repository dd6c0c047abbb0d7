/**
 * Stands where the command `athena` would: says how it was started, and where there is a gate, waits until it opens.
 */
import * as fs from "node:fs"

const home = process.env["ATHENA_HOME"]
const gate = `${home}/gate`

const said = {
  pid: process.pid,
  parent: process.ppid,
  args: process.argv.slice(2),
  cwd: process.cwd(),
  env: process.env,
  /** The session of the process: field 6. */
  session: Number(
    fs
      .readFileSync("/proc/self/stat", "latin1")
      .replace(/^.*\) /, "")
      .split(" ")[3]
  ),
  streams: [0, 1, 2].map((fd) => fs.readlinkSync(`/proc/self/fd/${fd}`))
}
const publish = (name, value) => {
  fs.writeFileSync(`${home}/.${name}`, JSON.stringify(value))
  fs.renameSync(`${home}/.${name}`, `${home}/${name}`)
}
publish(`started-${process.pid}`, said)
if (fs.existsSync(gate)) publish(`ended-${process.pid}`, fs.readFileSync(gate, "utf8"))
