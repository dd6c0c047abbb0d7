/**
 * Full-text search over the exchanges of a project.
 *
 * The index finds the events with the rarest terms of the query. Their exchanges are ranked by BM25 as a whole, with
 * pseudo-relevance feedback where the caller wants many results. If they are fewer than requested, the newest events are
 * searched for parts of words. Everything but the lookup is the same code for both databases.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type * as Statement from "effect/sql/Statement"
import * as Dependency from "../../query/Dependency.ts"
import * as Query from "../../query/Query.ts"
import * as Analyzer from "../../relevance/Analyzer.ts"
import * as Bm25 from "../../relevance/Bm25.ts"
import * as Feedback from "../../relevance/Feedback.ts"
import * as Passage from "../../relevance/Passage.ts"
import * as Rarity from "../../relevance/Rarity.ts"
import * as Exchanges from "../internal/exchanges.ts"
import * as TermHash from "../internal/termHash.ts"
import * as TermStatistics from "../internal/termStatistics.ts"
import { type FoundMemory, SearchResult } from "../Memory.ts"
import { ProjectId } from "../Project.ts"

/**
 * The most memories that one call returns: 100.
 *
 * @category defaults
 * @since 0.1.0
 */
export const maxLimit = 100

/**
 * How many of the newest memories of the project are searched for parts of words: 50,000.
 *
 * @category defaults
 * @since 0.1.0
 */
export const fragmentScan = 50_000

/** How many terms of a query are looked up in the statistics; a page has fewer. */
const maxTerms = 512

/** The rarest terms of the query find the candidates. */
const maxLookups = 32

/** The most postings that are read. */
const maxPostings = 10_000

const maxCandidates = 200

/** How many exchanges are ranked: for hooks, and for a search. */
const maxRanked = { hook: 60, search: 200 } as const

const promptLength = 160

const Input = Schema.Struct({
  projectId: ProjectId,
  query: Schema.String,
  limit: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: maxLimit })),
  /** Whether frequent terms and parts of words are looked for where others find too little. */
  fragments: Schema.Boolean,
  /** A session whose own events are left out. */
  exceptSession: Schema.NullOr(Schema.String),
  /** Events before this time are left out. */
  since: Schema.NullOr(Schema.DateTimeUtcFromMillis),
  /** Events of other types are left out; none means all types. */
  types: Schema.Array(Schema.String)
})
type Input = typeof Input.Type

const filterOf = ({ exceptSession, projectId, since, types }: Input): Exchanges.Filter => ({
  projectId,
  exceptSession,
  since: since === null ? null : DateTime.toEpochMillis(since),
  until: null,
  types
})

/** The query in terms of the index. */
interface Terms {
  /** Inverse document frequency by hash. */
  readonly idf: ReadonlyMap<number, number>
  /** The same, times the number of occurrences in the query. */
  readonly weights: ReadonlyMap<number, number>
  /** Inverse document frequency by term, for passages. */
  readonly byTerm: ReadonlyMap<string, number>
  readonly statistics: TermStatistics.Statistics
}

const sum = (values: Iterable<number>): number => {
  let total = 0
  for (const value of values) total += value
  return total
}

const termsOf = (projectId: number, query: string) =>
  Effect.gen(function* () {
    const hashOf = TermHash.inProject(projectId)
    const counts = [...Analyzer.frequencies(Analyzer.excerpt(query))].slice(0, maxTerms)
    const hashed = counts.map(([term, count]) => ({ term, count, hash: hashOf(term) }))
    const statistics = yield* TermStatistics.read(
      projectId,
      hashed.map(({ hash }) => hash)
    )
    const weighed = hashed.map(({ count, hash, term }) => {
      const idf = Rarity.idf(term, statistics.events, statistics.frequencies.get(hash) ?? 0)
      return { term, hash, idf, weight: idf * count }
    })
    return {
      idf: new Map(weighed.map(({ hash, idf }) => [hash, idf])),
      weights: new Map(weighed.map(({ hash, weight }) => [hash, weight])),
      byTerm: new Map(weighed.map(({ idf, term }) => [term, idf])),
      statistics
    } satisfies Terms as Terms
  })

/** The rarest terms, as many as the bound on the postings allows. */
const lookups = ({ idf, statistics }: Terms): Exchanges.Weights => {
  let postings = 0
  return [...idf]
    .filter(([hash]) => statistics.frequencies.get(hash)! > 0)
    .toSorted((a, b) => b[1] - a[1] || a[0] - b[0])
    .slice(0, maxLookups)
    .filter(([hash]) => (postings += statistics.frequencies.get(hash)!) <= maxPostings)
    .map(([hash, idf]) => [hash, Math.round(idf * 1_000) + 1] as const)
}

/** The rarest term, where all are too frequent to be looked up. */
const frequentTerm = ({ idf, statistics }: Terms): number | undefined =>
  [...idf].filter(([hash]) => statistics.frequencies.get(hash)! > 0).toSorted((a, b) => b[1] - a[1])[0]?.[0]

const candidatesOf = (terms: Terms, input: Input) =>
  Effect.gen(function* () {
    const filter = filterOf(input)
    const found = yield* Exchanges.candidates(lookups(terms), filter, maxCandidates)
    const frequent = found.length === 0 && input.fragments ? frequentTerm(terms) : undefined
    return frequent === undefined ? found : yield* Exchanges.newest(frequent, filter, maxCandidates)
  })

interface Exchange extends Bm25.Document<number> {
  readonly start: number
  readonly members: ReadonlyArray<Exchanges.Member>
}

/** How much a term in an event counts, by the event's type: a tool call has many words that nobody wrote. */
const weightOf = ({ type }: Exchanges.Member): number => (type === "tool_execution" ? 0.5 : 1)

const exchangesOf = (members: ReadonlyArray<Exchanges.Member>): ReadonlyArray<Exchange> => {
  const byStart = new Map<number, Array<Exchanges.Member>>()
  for (const member of members) {
    const known = byStart.get(member.start)
    if (known === undefined) byStart.set(member.start, [member])
    else known.push(member)
  }
  return [...byStart].map(([start, members]) => {
    const frequencies = new Map<number, number>()
    let length = 0
    for (const member of members) {
      const weight = members.length === 1 ? 1 : weightOf(member)
      length += weight * member.length
      for (const [hash, count] of member.frequencies)
        frequencies.set(hash, (frequencies.get(hash) ?? 0) + weight * count)
    }
    return { start, members, frequencies, length }
  })
}

/** The average length of an exchange: that of an event, times the average sum of the weights of its events. */
const averageLength = (exchanges: ReadonlyArray<Exchange>, { length }: TermStatistics.Statistics): number =>
  (length * sum(exchanges.map(({ members }) => (members.length === 1 ? 1 : sum(members.map(weightOf)))))) /
  Math.max(1, exchanges.length)

const recency = (ageMs: number): number => 1 / (1 + Math.max(0, ageMs) / (30 * 86_400_000))

interface Ranked extends Exchange {
  readonly score: number
  readonly matched: ReadonlyArray<number>
}

const rank = (
  exchanges: ReadonlyArray<Exchange>,
  { idf, statistics, weights }: Terms,
  query: ReadonlyMap<number, number>,
  now: number
): ReadonlyArray<Ranked> => {
  const average = averageLength(exchanges, statistics)
  const most = Math.max(sum(weights.values()) * (Bm25.k1 + 1), Number.MIN_VALUE)
  return exchanges
    .map((exchange) => {
      const last = exchange.members.at(-1)!
      const importance = Math.max(...exchange.members.map((member) => member.importance))
      const bonus = 0.94 + 0.04 * recency(now - last.timestamp) + 0.02 * Math.min(1, Math.max(0, importance))
      return {
        ...exchange,
        score: Math.min(1, Bm25.score(query, exchange, average) / most) * bonus,
        matched: [...idf.keys()].filter((hash) => exchange.frequencies.has(hash))
      }
    })
    .toSorted((a, b) => b.score - a.score || b.start - a.start)
}

/** How many of the best exchanges extend the query, and how many terms are considered. */
const feedbackExchanges = 10
const feedbackTerms = 64

/** The query, extended by what the best exchanges share. */
const extended = (projectId: number, terms: Terms, ranked: ReadonlyArray<Ranked>) =>
  Effect.gen(function* () {
    const best = ranked.slice(0, feedbackExchanges)
    const common = [...Feedback.expand(new Map<number, number>(), best, () => 1, { terms: feedbackTerms }).keys()]
    const { events, frequencies } = yield* TermStatistics.read(projectId, common)
    const rarity = (hash: number) => {
      const frequency = frequencies.get(hash)
      return frequency === undefined || frequency > events * 0.1 ? 0 : Bm25.idf(events, frequency)
    }
    return Feedback.expand(terms.weights, best, rarity, { terms: 20, original: 0.7 })
  })

const escapeLike = (text: string): string => text.replace(/[\\%_]/g, (character) => `\\${character}`)

/**
 * `LIKE` folds the case of ASCII letters only in SQLite, so the usual other spellings of a fragment are tried as well.
 */
const spellings = (fragment: string): ReadonlyArray<string> => [
  ...new Set([fragment, fragment.toUpperCase(), fragment.slice(0, 1).toUpperCase() + fragment.slice(1)])
]

const contains = (sql: SqlClient.SqlClient, fragment: string): Statement.Fragment =>
  sql.onDialectOrElse({
    pg: () => sql`e.content ILIKE ${`%${escapeLike(fragment)}%`} ESCAPE '\\'`,
    orElse: () =>
      sql.or(spellings(fragment).map((spelling) => sql`e.content LIKE ${`%${escapeLike(spelling)}%`} ESCAPE '\\'`))
  })

/** The parts that an event must contain: the first three that white space separates, lower case. */
const fragmentsOf = (query: string): ReadonlyArray<string> =>
  Analyzer.excerpt(query)
    .toLowerCase()
    .split(/\s+/)
    .filter((fragment) => fragment.length > 0)
    .slice(0, 3)

const byFragment = (input: Input) =>
  Effect.gen(function* () {
    const fragments = fragmentsOf(input.query)
    if (!input.fragments || fragments.length === 0) return []
    const sql = yield* SqlClient.SqlClient
    const condition = sql.and(fragments.map((fragment) => contains(sql, fragment)))
    return yield* Exchanges.scanned(condition, filterOf(input), fragmentScan, maxCandidates)
  })

/** Exchanges that match by a part of a word only have a score of 0 and come last, newest first. */
const withFragments = (input: Input, terms: Terms, ranked: ReadonlyArray<Ranked>, now: number) =>
  Effect.gen(function* () {
    if (ranked.length >= input.limit) return ranked
    const known = new Set(ranked.map(({ start }) => start))
    const parts = Exchanges.grouped(yield* byFragment(input)).filter(({ start }) => !known.has(start))
    const members = yield* Exchanges.members(parts.slice(0, input.limit), input.projectId)
    return [...ranked, ...rank(exchangesOf(members), terms, new Map(), now)]
  })

interface Shown {
  readonly ranked: Ranked
  readonly best: Exchanges.Member
  readonly prompt: Exchanges.Member | undefined
}

/**
 * The event of an exchange that is shown: the last answer, which says how it ended, else the one with the greatest sum of
 * rare terms, else the prompt itself.
 */
const shownOf = (ranked: Ranked, { idf }: Terms, types: ReadonlyArray<string>): Shown => {
  const prompt = ranked.members.find(({ type }) => type === "user_question")
  const weightIn = (member: Exchanges.Member) =>
    weightOf(member) * sum(ranked.matched.filter((hash) => member.frequencies.has(hash)).map((hash) => idf.get(hash)!))
  const others = ranked.members.filter(
    (member) => member !== prompt && (types.length === 0 || types.includes(member.type))
  )
  const byWeight = others
    .map((member) => ({ member, weight: weightIn(member) }))
    .toSorted((a, b) => b.weight - a.weight)
  const answer = others.findLast(({ type }) => type === "assistant_message")
  const found = answer ?? ((byWeight[0]?.weight ?? 0) > 0 ? byWeight[0]!.member : others.at(-1))
  const best = found ?? prompt ?? ranked.members[0]!
  return { ranked, best, prompt: best === prompt ? undefined : prompt }
}

const normalized = (text: string): string => text.replace(/\s+/g, " ").trim().toLowerCase()

const foundOf = (
  { best, prompt, ranked }: Shown,
  { byTerm, idf, statistics }: Terms,
  texts: ReadonlyMap<number, Exchanges.Text>
): FoundMemory => {
  const rarestPossible = Math.log(1 + Rarity.priorDocuments + statistics.events)
  const rarest = ranked.matched.map((hash) => idf.get(hash)!).toSorted((a, b) => b - a)
  const passage = (id: number, length?: number) => Passage.find(texts.get(id)?.content ?? "", byTerm, length).text
  return {
    id: ranked.start,
    type: best.type,
    content: passage(best.id),
    prompt: prompt === undefined ? null : passage(prompt.id, promptLength),
    timestamp: DateTime.makeUnsafe(best.timestamp),
    outcome: best.outcome,
    files: texts.get(best.id)?.files ?? [],
    score: ranked.score,
    matchedTerms: ranked.matched.length,
    coverage: sum(rarest) / Math.max(sum(idf.values()), Number.MIN_VALUE),
    rarity: sum(rarest.slice(0, 2)) / (2 * rarestPossible)
  }
}

/** The results in their order, each text once. */
const resultsOf = (input: Input, terms: Terms, ranked: ReadonlyArray<Ranked>) =>
  Effect.gen(function* () {
    const shown = ranked.slice(0, input.limit * 2).map((exchange) => shownOf(exchange, terms, input.types))
    const texts = yield* Exchanges.texts(shown.flatMap(({ best, prompt }) => [best.id, prompt?.id ?? best.id]))
    const seen = new Set<string>()
    return shown
      .filter(({ best }) => {
        const text = normalized(texts.get(best.id)?.content ?? "")
        return !seen.has(text) && seen.add(text)
      })
      .slice(0, input.limit)
      .map((one) => foundOf(one, terms, texts))
  })

/**
 * The exchanges of a project that fit a query, best first.
 *
 * @category queries
 * @since 0.1.0
 */
export const search = Query.make({
  name: "memory.search",
  input: Input,
  result: SearchResult,
  dependencies: ({ projectId }) => [Dependency.make("episodic_events", projectId)],
  // The ranking moves with the clock.
  timeToLive: "1 minute",
  run: Effect.fnUntraced(function* (input): Effect.fn.Return<SearchResult, SqlError, SqlClient.SqlClient> {
    const now = yield* Clock.currentTimeMillis
    const terms = yield* termsOf(input.projectId, input.query)
    const matched = Exchanges.grouped(yield* candidatesOf(terms, input))
    const depth = input.fragments ? maxRanked.search : maxRanked.hook
    const exchanges = exchangesOf(yield* Exchanges.members(matched.slice(0, depth), input.projectId))
    const first = rank(exchanges, terms, terms.weights, now)
    const ranked =
      input.fragments && first.length > 1
        ? rank(exchanges, terms, yield* extended(input.projectId, terms, first), now)
        : first
    const results = yield* resultsOf(input, terms, yield* withFragments(input, terms, ranked, now))
    return { found: results.length, results }
  })
})
