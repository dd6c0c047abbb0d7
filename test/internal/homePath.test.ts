import * as path from "node:path"
import * as NodePath from "@effect/platform-node/NodePath"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as HomePath from "../../src/internal/homePath.ts"
import * as Database from "../../src/sql/Database.ts"

type Env = Readonly<Record<string, string>>

const found: ReadonlyArray<readonly [Env, string]> = [
  [{ HOME: "/home/ada" }, "/home/ada/.athena"],
  [{ USERPROFILE: "/users/ada" }, "/users/ada/.athena"],
  [{ HOME: "", USERPROFILE: "/users/ada" }, "/users/ada/.athena"],
  [{ HOME: "/home/ada", ATHENA_HOME: "" }, "/home/ada/.athena"],
  [{ ATHENA_HOME: "/srv/memory" }, "/srv/memory"],
  [{ ATHENA_HOME: "/srv/memory/" }, "/srv/memory"],
  [{ ATHENA_HOME: "/srv/x/../memory" }, "/srv/memory"],
  [{ HOME: "/home/ada", ATHENA_HOME: "~" }, "/home/ada"],
  [{ HOME: "/home/ada", ATHENA_HOME: "~/mem" }, "/home/ada/mem"],
  [{ HOME: "/home/ada", ATHENA_HOME: "~//mem/" }, "/home/ada/mem"],
  [{ HOME: "/home/ada", ATHENA_HOME: "/srv/~/mem" }, "/srv/~/mem"],
  [{ ATHENA_HOME: "/a b'c\"d%20e#f?g🚀" }, "/a b'c\"d%20e#f?g🚀"]
]

const refused: ReadonlyArray<readonly [Env, RegExp]> = [
  [{}, /neither ATHENA_HOME nor HOME/],
  [{ HOME: "", ATHENA_HOME: "" }, /neither ATHENA_HOME nor HOME/],
  [{ HOME: "/home/ada", ATHENA_HOME: "mem" }, /ATHENA_HOME must be an absolute path/],
  [{ HOME: "/home/ada", ATHENA_HOME: "./mem" }, /ATHENA_HOME must be an absolute path/],
  [{ HOME: "/home/ada", ATHENA_HOME: "../mem" }, /ATHENA_HOME must be an absolute path/],
  [{ HOME: "/home/ada", ATHENA_HOME: " " }, /ATHENA_HOME must be an absolute path/],
  [{ HOME: "/home/ada", ATHENA_HOME: "~bob/mem" }, /~NAME/],
  [{ ATHENA_HOME: "~/mem" }, /begins with ~/],
  [{ HOME: "home", ATHENA_HOME: "~/mem" }, /begins with ~/],
  [{ HOME: "home" }, /HOME must be an absolute path/],
  [{ ATHENA_HOME: "/srv/caf\uFFFD" }, /character/]
]

const home = (env: Env) =>
  Database.home.pipe(
    Effect.provide(NodePath.layer),
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))
  )

describe("the path of the home", () => {
  it.effect("resolves the home equally for the hook and for Effect", () =>
    Effect.gen(function* () {
      for (const [env, expected] of found) {
        assert.deepStrictEqual(HomePath.of(env, path.posix), { path: expected }, JSON.stringify(env))
        assert.strictEqual(yield* home(env), expected)
      }
    })
  )

  it.effect("is none where it would depend on where the agent runs, and says why without the value", () =>
    Effect.gen(function* () {
      for (const [env, why] of refused) {
        const result = HomePath.of(env, path.posix)
        assert.match("problem" in result ? result.problem : "", why, JSON.stringify(env))
        const error = yield* Effect.flip(home(env))
        assert.strictEqual(error._tag, "InvalidSettings")
        assert.match(error.message, why)
        assert.notInclude(error.message, "mem ")
      }
    })
  )

  it("follows the rules of Windows there", () => {
    assert.deepStrictEqual(HomePath.of({ USERPROFILE: "C:\\Users\\ada" }, path.win32), {
      path: "C:\\Users\\ada\\.athena"
    })
    assert.deepStrictEqual(HomePath.of({ HOME: "C:\\Users\\ada", ATHENA_HOME: "~\\mem" }, path.win32), {
      path: "C:\\Users\\ada\\mem"
    })
    assert.isTrue("problem" in HomePath.of({ ATHENA_HOME: "C:mem" }, path.win32))
  })
})
