import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Databases from "../../bench/recall/databases.ts"
import * as PublicSearch from "../../bench/recall/publicSearch.ts"
import * as PublicSets from "../../bench/recall/publicSets.ts"
import * as TempFolder from "../utils/TempFolder.ts"

const write = (folder: string, files: Readonly<Record<string, string>>) => {
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true })
    fs.writeFileSync(path.join(folder, name), text)
  }
}

const sets = {
  "cranfield/cran.all.1400":
    ".I 1\n.T\nwing flutter\n.A\nauthor,a.\n.B\nj. 25, 1958.\n.W\nflutter of a wing .\n.I 2\n.T\nheat\n.W\nslabs conduct heat .\n.I 3\n.T\nshock\n.W\nshock waves .\n",
  "cranfield/cran.qry": ".I 001\n.W\nwing flutter\n.I 004\n.W\nconduct heat\n",
  "cranfield/cranqrel": "1 1 2\n1 2 -1\n2 2 4 \n2 3 1\n",
  "cisi/CISI.ALL":
    ".I 1\n.T\nDewey Decimal\n.A\nComaromi, J.P.\n.W\n  A history.\n.X\n1\t5\t1\n.I 2\n.T \nLibraries\n.W\nUse.\n.X\n",
  "cisi/CISI.QRY": ".I 1\n.W\nhistory of Dewey\n.I 2\n.W\nunjudged\n",
  "cisi/CISI.REL": "     1      1\t0\t0.000000\n",
  "cosqa/code_idx_map.txt": JSON.stringify({ "def iterable(x): pass": 7, "def sort(x): pass": 9 }),
  "cosqa/cosqa-retrieval-dev-500.json": JSON.stringify([
    { idx: "q-1", doc: "python check iterable", code: "", retrieval_idx: 7 }
  ])
}

const loaded = Effect.map(TempFolder.make, (folder) => {
  write(folder, sets)
  return PublicSets.load(folder)
})

describe("publicSets", () => {
  it.effect("reads titles and bodies, judgements and queries of the three formats", () =>
    Effect.gen(function* () {
      const [cranfield, cisi, cosqa] = yield* loaded
      assert.deepStrictEqual(
        [...(cranfield?.documents ?? [])],
        [
          ["1", "wing flutter\nflutter of a wing ."],
          ["2", "heat\nslabs conduct heat ."],
          ["3", "shock\nshock waves ."]
        ]
      )
      assert.deepStrictEqual(
        [...(cranfield?.queries ?? [])],
        [
          ["1", "wing flutter"],
          ["2", "conduct heat"]
        ]
      )
      assert.deepStrictEqual(
        [...(cranfield?.relevant ?? [])],
        [
          ["1", new Set(["1"])],
          ["2", new Set(["2", "3"])]
        ]
      )
      assert.deepStrictEqual(
        [...(cisi?.documents ?? [])],
        [
          ["1", "Dewey Decimal\nA history."],
          ["2", "Libraries\nUse."]
        ]
      )
      assert.deepStrictEqual([...(cisi?.relevant ?? [])], [["1", new Set(["1"])]])
      assert.deepStrictEqual([...(cosqa?.queries ?? [])], [["q-1", "python check iterable"]])
      assert.deepStrictEqual([...(cosqa?.relevant ?? [])], [["q-1", new Set(["7"])]])
    })
  )

  it.effect("skips a set that the folder does not contain", () =>
    Effect.map(TempFolder.make, (folder) => {
      assert.deepStrictEqual(PublicSets.load(folder), [])
    })
  )

  it.effect("scores the searches over the queries with relevant documents", () =>
    Effect.gen(function* () {
      const [cranfield] = yield* loaded
      const { memory } = Databases.sqlite(yield* TempFolder.make)
      const { latencies, ndcg10, recall10, recall5 } = yield* Effect.provide(PublicSearch.measure(cranfield!), memory)
      // The first query finds its document; the second one of two, at rank 1: 1 / (1 + 1/log2(3)).
      assert.closeTo(ndcg10, (1 + 0.6131471927654584) / 2, 1e-9)
      assert.strictEqual(recall5, 0.75)
      assert.strictEqual(recall10, 0.75)
      assert.strictEqual(latencies.length, 2)
    })
  )
})
