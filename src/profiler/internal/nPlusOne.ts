/**
 * Tells when the same thing is done many times under one parent span, where once with a list would do ("N+1").
 */
import type * as Tracer from "effect/Tracer"

export interface Repeated {
  /** Under how many parents it was repeated. */
  repeatedUnder: number
  /** The most times under one parent. */
  repeatedMost: number
}

interface Run {
  times: number
  since: number
}

/** A parent that stays open, such as the span of a server, must not add up what belongs to different requests. */
const windowMs = 10_000

/** How many different things are counted under one parent. */
const maxSubjects = 200

export class Repeats {
  private readonly parents = new WeakMap<Tracer.AnySpan, Map<Repeated, Run>>()
  readonly threshold: number

  constructor(threshold: number) {
    this.threshold = threshold
  }

  count(subject: Repeated, parent: Tracer.AnySpan | undefined, now: number): void {
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
    if (run.times === this.threshold) subject.repeatedUnder++
    if (run.times >= this.threshold && run.times > subject.repeatedMost) subject.repeatedMost = run.times
  }
}
