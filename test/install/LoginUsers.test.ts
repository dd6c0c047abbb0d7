/**
 * Whether several people log in to a machine.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Installation from "../../src/install/installation.ts"
import * as LoginUsers from "../../src/install/loginUsers.ts"
import * as Agents from "../../src/install/Agents.ts"
import * as TempFolder from "../utils/TempFolder.ts"

const system = "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/usr/sbin:/usr/sbin/nologin\n"
const user = (name: string, uid: number, shell = "/bin/bash") => `${name}:x:${uid}:${uid}::/home/${name}:${shell}\n`

const { uid, username } = os.userInfo()

describe("people who log in", () => {
  it.each([
    ["one", user("ada", 1000), undefined, 1],
    ["two", user("ada", 1000) + user("bob", 1001, "/usr/bin/zsh"), undefined, 2],
    [
      "those that have no shell",
      user("ada", 1000) + user("bob", 1001, "/sbin/nologin") + user("c", 1002, "/bin/false"),
      undefined,
      1
    ],
    ["nobody, and services", user("ada", 1000) + user("nobody", 65_534) + user("git", 998), undefined, 1],
    ["no shell at all, which is that of the system", user("ada", 1000, "") + user("bob", 1001, ""), undefined, 2],
    ["the same number twice", user("ada", 1000) + user("ada2", 1000), undefined, 1],
    ["this user, who is none of them", user("ada", 1000), 998, 2],
    ["root, who is everyone's", user("ada", 1000), 0, 1],
    ["lines of network directories and comments", `# users\n+::::::\n${user("ada", 1000)}\n`, undefined, 1]
  ])("are counted: %s", (_, users, own, count) => {
    assert.strictEqual(LoginUsers.peopleOf(system + users, "", own).length, count)
  })

  it("use the uid bounds of login.defs", () => {
    const users = user("ada", 500) + user("bob", 501) + user("eve", 1000)
    assert.strictEqual(LoginUsers.peopleOf(users, "# UID_MIN 1\n  UID_MIN\t500\nUID_MAX 999\n", undefined).length, 2)
  })

  it.effect("decide whether events are posted, unless a flag does", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const passwd = path.join(folder, "passwd")
      const sources = { passwd, loginDefs: path.join(folder, "none"), homes: undefined }
      const transport = (wished: Option.Option<boolean>) =>
        Installation.transport(Agents.claude, "user", wished).pipe(
          Effect.provideService(LoginUsers.Sources, sources),
          Effect.provide(NodeServices.layer)
        )
      const own = user(username, uid)
      fs.writeFileSync(passwd, own)
      assert.deepStrictEqual(yield* transport(Option.none()), { posted: true, note: undefined })
      assert.isFalse((yield* transport(Option.some(false))).posted)
      fs.writeFileSync(passwd, own + user("ada", 2000) + user("bob", 2001))
      const { note, posted } = yield* transport(Option.none())
      assert.isFalse(posted)
      assert.match(note ?? "", /^several people log in to this machine.*--post/)
      assert.deepStrictEqual(yield* transport(Option.some(true)), { posted: true, note: undefined })
      // A user of a directory is in no file, and neither are the others.
      fs.writeFileSync(passwd, user("ada", 2000))
      assert.isFalse((yield* transport(Option.none())).posted)
    })
  )

  it.effect("are counted by home folders without a passwd file", () =>
    Effect.gen(function* () {
      const homes = yield* TempFolder.make
      for (const name of ["Shared", "Public", "Default User", ".localized", "ada"]) fs.mkdirSync(path.join(homes, name))
      fs.writeFileSync(path.join(homes, "bob"), "no folder")
      const several = LoginUsers.areSeveral.pipe(
        Effect.provideService(LoginUsers.Sources, { passwd: "", loginDefs: "", homes }),
        Effect.provide(NodeServices.layer)
      )
      assert.isFalse(yield* several)
      fs.mkdirSync(path.join(homes, "eve"))
      assert.isTrue(yield* several)
    })
  )
})
