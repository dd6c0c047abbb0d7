/** Porter's stemmer for lower-case English words: M. F. Porter, "An algorithm for suffix stripping", Program 14(3), 1980. */

/** One letter for each letter of a word: `v` for a vowel, `c` for a consonant. */
const shape = (word: string): string => {
  let result = ""
  for (let i = 0; i < word.length; i++) {
    const letter = word[i]!
    result += "aeiou".includes(letter) || (letter === "y" && i > 0 && result[i - 1] === "c") ? "v" : "c"
  }
  return result
}

/** The number of changes from vowels to consonants. */
const measure = (stem: string): number => shape(stem).match(/v+c+/g)?.length ?? 0

const hasVowel = (stem: string): boolean => shape(stem).includes("v")

const endsDouble = (stem: string): boolean => /([^aeiou])\1$/.test(stem)

/** Consonant, vowel, consonant, where the last is not w, x or y. */
const endsShort = (stem: string): boolean => shape(stem).endsWith("cvc") && !/[wxy]$/.test(stem)

const step1a = (word: string): string =>
  word.endsWith("sses") || word.endsWith("ies")
    ? word.slice(0, -2)
    : word.endsWith("s") && !word.endsWith("ss")
      ? word.slice(0, -1)
      : word

const step1b = (word: string): string => {
  if (word.endsWith("eed")) return measure(word.slice(0, -3)) > 0 ? word.slice(0, -1) : word
  const stem = word.endsWith("ed") ? word.slice(0, -2) : word.endsWith("ing") ? word.slice(0, -3) : undefined
  if (stem === undefined || !hasVowel(stem)) return word
  if (/(?:at|bl|iz)$/.test(stem)) return `${stem}e`
  if (endsDouble(stem) && !/[lsz]$/.test(stem)) return stem.slice(0, -1)
  return measure(stem) === 1 && endsShort(stem) ? `${stem}e` : stem
}

const step1c = (word: string): string =>
  word.endsWith("y") && hasVowel(word.slice(0, -1)) ? `${word.slice(0, -1)}i` : word

type Suffixes = ReadonlyArray<readonly [suffix: string, replacement: string]>

const step2: Suffixes = [
  ["ational", "ate"],
  ["tional", "tion"],
  ["enci", "ence"],
  ["anci", "ance"],
  ["izer", "ize"],
  ["abli", "able"],
  ["alli", "al"],
  ["entli", "ent"],
  ["eli", "e"],
  ["ousli", "ous"],
  ["ization", "ize"],
  ["ation", "ate"],
  ["ator", "ate"],
  ["alism", "al"],
  ["iveness", "ive"],
  ["fulness", "ful"],
  ["ousness", "ous"],
  ["aliti", "al"],
  ["iviti", "ive"],
  ["biliti", "ble"]
]

const step3: Suffixes = [
  ["icate", "ic"],
  ["ative", ""],
  ["alize", "al"],
  ["iciti", "ic"],
  ["ical", "ic"],
  ["ful", ""],
  ["ness", ""]
]

const step4 = "ement ance ence able ible ment ant ent ism ate iti ous ive ize ion al er ic ou".split(" ")

/** Replaces the longest suffix of the word if the rest has a vowel before a consonant. */
const replace = (word: string, suffixes: Suffixes): string => {
  const found = suffixes.find(([suffix]) => word.endsWith(suffix))
  if (found === undefined) return word
  const stem = word.slice(0, -found[0].length)
  return measure(stem) > 0 ? stem + found[1] : word
}

const remove = (word: string): string => {
  const suffix = step4.find((suffix) => word.endsWith(suffix))
  if (suffix === undefined) return word
  const stem = word.slice(0, -suffix.length)
  return measure(stem) > 1 && (suffix !== "ion" || /[st]$/.test(stem)) ? stem : word
}

const step5 = (word: string): string => {
  const stem = word.slice(0, -1)
  if (word.endsWith("e")) return measure(stem) > 1 || (measure(stem) === 1 && !endsShort(stem)) ? stem : word
  return word.endsWith("ll") && measure(stem) > 1 ? stem : word
}

/** The stem of a lower-case word; words of other letters than a to z and of up to two letters are their own stem. */
export const stem = (word: string): string =>
  word.length < 3 || !/^[a-z]+$/.test(word)
    ? word
    : step5(remove(replace(replace(step1c(step1b(step1a(word))), step2), step3)))
