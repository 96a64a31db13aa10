// Who is here: members that come and go with each request, as an array with swap-remove.
//
// A Set or Map whose members live for a request each keeps its outgrown tables chained from old space to new, and with them the
// requests: scavenges then take tens of milliseconds (docs/benchmarks.md). An array does not.

/** A member knows its place, so that leaving needs no search. -1: it is in no crowd. */
export interface Member {
  place: number
}

export class Crowd<T extends Member> {
  readonly #members: T[] = []

  get size(): number {
    return this.#members.length
  }

  add(member: T): void {
    member.place = this.#members.length
    this.#members.push(member)
  }

  /** Leaving twice is fine. False when it had left already. */
  remove(member: T): boolean {
    const { place } = member
    if (this.#members[place] !== member) return false
    const last = this.#members.pop()!
    member.place = -1
    if (last !== member) {
      this.#members[place] = last
      last.place = place
    }
    return true
  }

  /** Those who were here when it was asked; they may leave meanwhile. */
  [Symbol.iterator](): ArrayIterator<T> {
    return this.#members.slice().values()
  }
}
