/**
 * Public retrieval sets in their published formats, read from a folder: `cranfield/`, `cisi/` and `cosqa/`. See
 * `docs/benchmarks.md` for their sources.
 */
import * as fs from "node:fs"
import * as path from "node:path"

/** Documents and queries by their ids, and the ids of the documents that are relevant to each query. */
export interface PublicSet {
  readonly name: string
  readonly documents: ReadonlyMap<string, string>
  readonly queries: ReadonlyMap<string, string>
  readonly relevant: ReadonlyMap<string, ReadonlySet<string>>
}

/** Reads the sets that the folder contains. */
export const load = (folder: string): ReadonlyArray<PublicSet> =>
  readers
    .filter(({ directory }) => fs.existsSync(path.join(folder, directory)))
    .map(({ directory, read }) => read((file) => fs.readFileSync(path.join(folder, directory, file), "utf8")))

type Read = (file: string) => string

/** In `cran.qry` a query's number is not its id: judgements count the queries from 1. */
const cranfield = (read: Read): PublicSet => ({
  name: "Cranfield",
  documents: new Map(records(read("cran.all.1400")).map((one) => [one.id, one.text])),
  queries: new Map(records(read("cran.qry")).map((one, index) => [String(index + 1), one.text])),
  relevant: judgements(read("cranqrel"))
})

const cisi = (read: Read): PublicSet => ({
  name: "CISI",
  documents: new Map(records(read("CISI.ALL")).map((one) => [one.id, one.text])),
  queries: new Map(records(read("CISI.QRY")).map((one) => [one.id, one.text])),
  relevant: judgements(read("CISI.REL"))
})

interface Question {
  readonly idx: string
  readonly doc: string
  readonly retrieval_idx: number
}

/** Each query has one function among all functions of the set. */
const cosqa = (read: Read): PublicSet => {
  const functions = JSON.parse(read("code_idx_map.txt")) as Readonly<Record<string, number>>
  const questions = JSON.parse(read("cosqa-retrieval-dev-500.json")) as ReadonlyArray<Question>
  return {
    name: "CoSQA",
    documents: new Map(Object.entries(functions).map(([code, id]) => [String(id), code])),
    queries: new Map(questions.map(({ doc, idx }) => [idx, doc])),
    relevant: new Map(questions.map(({ idx, retrieval_idx }) => [idx, new Set([String(retrieval_idx)])]))
  }
}

const readers = [
  { directory: "cranfield", read: cranfield },
  { directory: "cisi", read: cisi },
  { directory: "cosqa", read: cosqa }
]

/** The records of the SMART format: `.I` starts one; its text is the title `.T` and the body `.W`. */
export const records = (text: string): ReadonlyArray<{ readonly id: string; readonly text: string }> =>
  text
    .split(/^\.I /m)
    .slice(1)
    .map((record) => {
      const [id = "", ...sections] = record.split(/^\.(?=[A-Z]\s*$)/m)
      const texts = sections.filter((section) => /^[TW]/.test(section)).map((section) => section.slice(1).trim())
      return { id: id.trim(), text: texts.join("\n") }
    })

/** Lines of a query, a document and, in Cranfield, a grade, of which only a positive one means relevant. */
export const judgements = (text: string): ReadonlyMap<string, ReadonlySet<string>> => {
  const relevant = new Map<string, Set<string>>()
  for (const line of text.split("\n")) {
    const [query, document, grade = "1"] = line.trim().split(/\s+/)
    if (query === undefined || document === undefined || Number(grade) < 0) continue
    relevant.set(query, (relevant.get(query) ?? new Set()).add(document))
  }
  return relevant
}
