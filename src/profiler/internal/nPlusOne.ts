/** Detects the N+1 pattern: the same query or statement runs many times under one parent span. */
import type * as Tracer from "effect/Tracer"

export interface Repeatable {
  /** The number of parents under which it repeated. */
  repeatedParents: number
  /** The maximum number of runs under one parent. */
  maxRepeats: number
}

interface Run {
  times: number
  since: number
}

/** A long-lived parent, such as a server's span, must not add up the queries of different requests. */
const windowMs = 10_000

/** The maximum number of distinct subjects per parent. */
const maxSubjects = 200

export class NPlusOneDetector {
  private readonly parents = new WeakMap<Tracer.AnySpan, Map<Repeatable, Run>>()
  readonly threshold: number

  constructor(threshold: number) {
    this.threshold = threshold
  }

  count(subject: Repeatable, parent: Tracer.AnySpan | undefined, now: number): void {
    if (parent === undefined) return
    let runs = this.parents.get(parent)
    if (runs === undefined) this.parents.set(parent, (runs = new Map()))
    const run = runs.get(subject)
    if (run === undefined) {
      if (runs.size < maxSubjects) runs.set(subject, { times: 1, since: now })
      return
    }
    if (now - run.since > windowMs) {
      run.times = 0
      run.since = now
    }
    run.times++
    if (run.times === this.threshold) subject.repeatedParents++
    if (run.times >= this.threshold && run.times > subject.maxRepeats) subject.maxRepeats = run.times
  }
}
