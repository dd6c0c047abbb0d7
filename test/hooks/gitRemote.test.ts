import { assert, describe, it } from "@effect/vitest"
import * as GitConfig from "../../src/hooks/internal/gitConfig.ts"
import * as GitRemote from "../../src/hooks/internal/gitRemote.ts"

describe("the address of a remote", () => {
  it("is equal for all URLs of a repository and contains no secret", () => {
    for (const url of [
      "https://git.example/me/shop",
      "https://git.example/me/shop.git",
      "https://git.example/me/shop/",
      "https://user:ghp_secret@git.example/me/shop.git",
      "https://oauth2:secret@git.example:443/me/shop.git?token=secret#secret",
      "HTTPS://Git.Example/me/shop.git",
      "ssh://git@git.example/me/shop.git",
      "ssh://git@git.example:22/me/shop",
      "git@git.example:me/shop.git",
      "git.example:me/shop.git",
      "git@git.example:/me/shop.git",
      "git://git.example/me/shop.git"
    ]) {
      assert.strictEqual(GitRemote.normalise(url), "git.example/me/shop", url)
    }
  })

  it("differs by host, port and path, and supports folders", () => {
    const all = [
      "https://git.example/me/shop",
      "https://git.example/me/Shop",
      "https://git.example:8443/me/shop",
      "https://other.example/me/shop",
      "https://git.example/you/shop",
      "/srv/git.example/me/shop",
      "ssh://git@git.example:2222/me/shop"
    ].map(GitRemote.normalise)
    assert.strictEqual(new Set(all).size, all.length)
    assert.strictEqual(GitRemote.normalise("file:///srv/shop.git"), GitRemote.normalise("/srv/shop.git"))
    for (const url of ["", " ", "../shop", "shop", "https://", `https://git.example/${"x".repeat(600)}`]) {
      assert.isUndefined(GitRemote.normalise(url), url)
    }
  })
})

describe("the settings of a repository", () => {
  it("are parsed as git parses them", () => {
    const config = GitConfig.parse(
      [
        "; a comment",
        '[core] bare = true # not "here"',
        '\tworktree = "../a b" ; x',
        "[CORE]",
        "\tworktree = ../c \\",
        "d",
        '[remote "up\\"stream"]',
        "\tURL = https://git.example/up.git",
        '[remote "origin"]',
        '\turl = "https://git.example/shop.git"',
        "\tfetch = +refs/heads/*:refs/remotes/origin/*",
        "[broken",
        "= nothing"
      ].join("\r\n")
    )
    assert.isTrue(GitConfig.isBare(config))
    assert.strictEqual(GitConfig.get(config, "core.worktree"), "../c d")
    assert.strictEqual(GitConfig.remoteUrl(config), "https://git.example/shop.git")
    assert.strictEqual(GitConfig.remoteUrl(config.slice(0, -2)), "https://git.example/up.git")
    assert.isUndefined(GitConfig.remoteUrl([]))
  })
})
