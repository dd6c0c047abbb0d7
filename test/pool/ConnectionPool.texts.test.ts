/**
 * The effects of a statement on its session, derived from its text.
 */
import { assert, it } from "@effect/vitest"
import { StatementEffects, effectsOf } from "../../src/pool/internal/sessionState.ts"

const { advisoryLocks, begins, ends, none, settings, temporary, rollsBack: unwinds } = StatementEffects

it.each([
  ["(SELECT set_config('search_path', 'elsewhere', false))", settings],
  ["SELECT \"set_config\"('search_path', 'elsewhere', false)", settings],
  ["VALUES (pg_catalog.set_config ('a.b', 'c', false))", settings],
  ["COPY (SELECT set_config('a.b', 'c', false)) TO STDOUT", settings],
  ["/* a /* b */ c */ SET search_path = elsewhere", settings],
  ["-- a\n; SET search_path = elsewhere", settings],
  ["((SELECT pg_advisory_lock(1)))", advisoryLocks],
  ["CREATE TABLE pg_temp.mine (id int)", temporary],
  ["CREATE /* mine */ TEMP TABLE mine (id int)", temporary],
  ["CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'select 1'", temporary],
  ["EXPLAIN ANALYZE CREATE TEMP TABLE mine AS SELECT 1", temporary],
  ["SELECT 1 INTO pg_temp.mine", temporary],
  ["WITH one AS (SELECT 1) SELECT * INTO /* mine */ TEMPORARY mine FROM one", temporary],
  ["COMMIT AND /* the same again */ CHAIN", begins],
  ["COMMIT AND NO CHAIN", ends],
  ["ROLLBACK /* back */ TO SAVEPOINT one", unwinds],
  ["ROLLBACK", unwinds | ends]
])("%s leaves it", (sql, effects) => assert.strictEqual(effectsOf(sql), effects))

it.each([
  "",
  "/* never ends /* at all */",
  "(SELECT 1)",
  "/* a /* b */ SET a = 1 */ SELECT 1",
  "INSERT INTO temperatures VALUES (1)",
  "INSERT INTO readings (temp) VALUES (1)",
  "CREATE TABLE templates (id int)",
  "SET LOCAL a = 1"
])("%s leaves nothing", (sql) => assert.strictEqual(effectsOf(sql), none))

it("assumes any effect for a text without a first word", () => {
  assert.strictEqual(effectsOf("$1") & (settings | temporary | advisoryLocks), settings | temporary | advisoryLocks)
})
