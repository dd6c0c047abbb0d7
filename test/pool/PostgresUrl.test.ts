/**
 * Connection URIs as manuals and providers write them.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as PostgresUrl from "../../src/pool/PostgresUrl.ts"

const parsed = (text: string) => Result.getOrThrow(PostgresUrl.parse(text))

const serversOf = (text: string) => parsed(text).addresses.map(({ host, path, port }) => path ?? `${host} ${port}`)

describe("servers", () => {
  it.each([
    ["postgres://", ["localhost 5432"]],
    ["postgresql:///db", ["localhost 5432"]],
    ["postgres://db", ["db 5432"]],
    ["POSTGRES://db:6000/", ["db 6000"]],
    ["postgresql+psycopg://db/x", ["db 5432"]],
    ["postgres://me@db:6000/x", ["db 6000"]],
    ["postgres://db:/x", ["db 5432"]],
    ["postgres://[::1]/x", ["::1 5432"]],
    ["postgres://me:pw@[2001:db8::7]:6000/x", ["2001:db8::7 6000"]],
    ["postgres://[fe80::1%25eth0]/x", ["fe80::1%eth0 5432"]],
    ["postgres://a,b:6000,[::1]:6001/x", ["a 5432", "b 6000", "::1 6001"]],
    ["postgres://me:pw@a:1,b:2/x?target_session_attrs=any", ["a 1", "b 2"]],
    ["postgres:///x?host=a,b&port=1,2", ["a 1", "b 2"]],
    ["postgres:///x?host=a,b&port=7", ["a 7", "b 7"]],
    ["postgres://a,b/x?port=7", ["a 7", "b 7"]],
    ["postgres://elsewhere:9/x?host=a", ["a 9"]],
    ["postgres:///x?hostaddr=10.0.0.1", ["10.0.0.1 5432"]],
    ["postgres://db/x?hostaddr=", ["db 5432"]],
    ["postgresql://me@/x?host=/var/run/postgresql", ["/var/run/postgresql/.s.PGSQL.5432"]],
    ["postgresql://me@/x?host=/tmp/a%20b&port=6000", ["/tmp/a b/.s.PGSQL.6000"]],
    ["postgresql://me@localhost:6000/x?host=/tmp", ["/tmp/.s.PGSQL.6000"]],
    ["postgresql:///x?host=/tmp/100%25&user=me", ["/tmp/100%/.s.PGSQL.5432"]],
    ["postgres://me:pw@%2Ftmp%2Fsock:6000/x", ["/tmp/sock/.s.PGSQL.6000"]],
    ["postgres://me@%2Fa,b:6000/x", ["/a/.s.PGSQL.5432", "b 6000"]],
    ["postgres://me@/x?host=%2Fcloudsql%2Fproject:region:instance", ["/cloudsql/project:region:instance/.s.PGSQL.5432"]]
  ])("%s", (text, servers) => assert.deepStrictEqual(serversOf(text), servers))
})

const login = (text: string) => {
  const { database, password, username } = parsed(text)
  return [username, password, database]
}

describe("the login and the database", () => {
  it.each([
    ["postgres://db", [undefined, undefined, undefined]],
    ["postgres://me@db/", ["me", undefined, undefined]],
    ["postgres://me:@db/x", ["me", undefined, "x"]],
    ["postgres://:pw@db/x", [undefined, "pw", "x"]],
    ["postgres://me:a:b@db/x", ["me", "a:b", "x"]],
    ["postgres://od%40d:p%25a%23s%40s%3Aw%2Fo%3Frd@db/m%2Fn", ["od@d", "p%a#s@s:w/o?rd", "m/n"]],
    ["postgres://me:a+b@db/x", ["me", "a+b", "x"]],
    ["postgres://me:p&w=1@db/x", ["me", "p&w=1", "x"]],
    ["postgres://me:pässwörd@db/x", ["me", "pässwörd", "x"]],
    ["postgres://me:pw@db/x?user=you&password=other%26one&dbname=y", ["you", "other&one", "y"]],
    ["  postgres://me:pw@db/x\n", ["me", "pw", "x"]]
  ])("%s", (text, expected) => assert.deepStrictEqual(login(text), expected))
})

describe("parameters", () => {
  it.each<readonly [string, Partial<PostgresUrl.PostgresUrl>]>([
    ["sslmode=disable", { ssl: "disable" }],
    ["sslmode=allow", { ssl: "prefer" }],
    ["sslmode=prefer", { ssl: "prefer" }],
    ["sslmode=require&channel_binding=require", { ssl: "require" }],
    ["sslmode=verify-ca", { ssl: "require" }],
    ["sslmode=verify-full", { ssl: "require" }],
    ["sslmode=no-verify", { ssl: "noVerify" }],
    ["ssl=true", { ssl: "require" }],
    ["ssl=true&sslmode=disable", { ssl: "disable" }],
    ["connect_timeout=0", { connectTimeout: Infinity }],
    ["connect_timeout=7", { connectTimeout: 7 }],
    ["options=-c%20search_path%3Dpublic", { options: "-c search_path=public" }],
    ["application_name=mine&fallback_application_name=other", { applicationName: "mine" }],
    ["fallback_application_name=other", { applicationName: "other" }],
    ["target_session_attrs=read-write", { target: "primary" }],
    ["target_session_attrs=primary", { target: "primary" }],
    ["target_session_attrs=read-only", { target: "standby" }],
    ["target_session_attrs=prefer-standby", { target: "preferStandby" }],
    ["pgbouncer=true&connection_limit=1", { pooled: true }],
    ["schema=mem&pool_timeout=1&keepalives=1&", { pooled: false }]
  ])("%s", (query, expected) => assert.deepInclude(parsed(`postgres://db/x?${query}`), expected))
})

describe("refuses an invalid URL with a reason that contains no part of it", () => {
  it.each([
    ["", "begin"],
    ["s3cret", "begin"],
    ["mysql://me:s3cret@db/x", "begin"],
    ["jdbc:postgresql://me:s3cret@db/x", "begin"],
    ["postgres:me:s3cret@db/x", "begin"],
    ["http://me:s3cret@db/x", "begin"],
    ["postgres://me:12/s3cret@db/x", "percent-encoded"],
    ["postgres://me:12#s3cret@db/x", "percent-encoded"],
    ["postgres://me:12@s3cret@db/x", "percent-encoded"],
    ["postgres://me:12?s3cret@db/x", "value"],
    ["postgres://me:s3cret%@db/x", "%25"],
    ["postgres://me:p%as3cret@db/x", "%25"],
    ["postgres://me:s3cret%ff@db/x", "%25"],
    ["postgres://me@db/%s3cret", "%25"],
    ["postgres://me:s3cret@[db/x", "host"],
    ["postgres://me:s3cret@d b/x", "host"],
    ["postgres://me:s3cret@::1/x", "port"],
    ["postgres://me:pw@db:s3cret/x", "port"],
    ["postgres://db:0/x", "port"],
    ["postgres://db:65536/x", "port"],
    ["postgres://a,b,c/x?port=1,2", "number of ports"],
    ["postgres://db/x?sslmode=s3cret", "sslmode must be one of disable"],
    ["postgres://db/x?sslmode=toString", "sslmode"],
    ["postgres://db/x?target_session_attrs=s3cret", "target_session_attrs must be one of any"],
    ["postgres://db/x?connect_timeout=s3cret", "connect_timeout"],
    ["postgres://db/x?connect_timeout=-1", "connect_timeout"],
    ["postgres://?service=s3cret", "service"],
    ["postgres://db/x?s3cret", "value"]
  ])("%s", (text, named) => {
    const reason = Result.getOrThrow(Result.flip(PostgresUrl.parse(text)))
    assert.include(reason, named)
    assert.notInclude(reason, "s3cret")
  })
})
