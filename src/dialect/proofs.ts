// Proofs of reasoning in bytes that pass: found without reading anything else, in requests and in answers.

/** Where a dialect has its proofs: strings under one of these keys. */
export interface ProofKeys {
  /** as they stand in JSON, with their quotes */
  keys: readonly string[]
  /** a string, as it stands, behind which one more key has them: once each time */
  behind?: { word: string; key: string }
}

/** What a dialect's bytes are searched for. */
export interface ProofReader {
  /** Takes the next bytes of an answer; never changes or keeps them. */
  push(chunk: Buffer): void
  /** The proofs that have passed whole. */
  readonly found: readonly string[]
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a
// No proof is longer, and no answer has more of them.
const LONGEST = 4 * 1024 * 1024
const MOST = 4096

interface Needle {
  bytes: Buffer
  /** what is found next, rather than a value: the key that has it */
  next: Buffer | undefined
  /** where it is found next in the bytes that are searched */
  at: number
}

interface Found {
  from: number
  to: number
  /** of a word: what is looked for behind it */
  key: Buffer | undefined
}

function needlesOf({ keys, behind }: ProofKeys): Needle[] {
  const plain = keys.map(key => ({ bytes: Buffer.from(key), next: undefined, at: -1 }))
  return behind ? [...plain, { bytes: Buffer.from(behind.word), next: Buffer.from(behind.key), at: -1 }] : plain
}

/** Searches an answer as it passes: where nothing is found, a native search of each piece is all that it costs. */
export function proofReader(keys: ProofKeys): ProofReader {
  return new Passing(needlesOf(keys))
}

/** The proofs in a whole body, each once. What looks like one and is none may be among them. */
export function proofsIn(body: Buffer, keys: ProofKeys): string[] {
  const reader = new Passing(needlesOf(keys))
  reader.push(body)
  return [...new Set(reader.found)]
}

class Passing implements ProofReader {
  readonly found: string[] = []
  readonly #needles: readonly Needle[]
  readonly #longest: number
  // The end of the last piece, where a needle may have begun, or a value whose end is still to come.
  #rest: Buffer[] = []
  #restBytes = 0
  /** what is kept is the beginning of a value */
  #open = false
  // Behind a word: the key that is looked for now.
  #key: Buffer | undefined

  constructor(needles: readonly Needle[]) {
    this.#needles = needles
    this.#longest = Math.max(...needles.flatMap(({ bytes, next }) => [bytes.length, next?.length ?? 0]))
  }

  push(chunk: Buffer): void {
    if (chunk.length === 0) return
    let bytes = chunk
    if (this.#restBytes > 0) {
      this.#rest.push(chunk)
      this.#restBytes += chunk.length
      // Of a value in pieces only its last one has a quote.
      if (this.#open && !chunk.includes(QUOTE) && this.#restBytes <= LONGEST) return
      bytes = Buffer.concat(this.#rest, this.#restBytes)
    }
    this.#rest = []
    this.#restBytes = 0
    this.#open = false
    this.#search(bytes)
  }

  #search(bytes: Buffer): void {
    for (const needle of this.#needles) needle.at = -1
    let at = 0
    for (;;) {
      const next = this.#next(bytes, at)
      if (!next) break
      const { from, to, key } = next
      // Inside a text its quotes are escaped.
      if (bytes[from - 1] === BACKSLASH) {
        at = to
        continue
      }
      if (key) {
        this.#key = key
        at = to
        continue
      }
      const open = valueStart(bytes, to)
      const end = open === -1 ? -1 : open === -2 ? -2 : stringEnd(bytes, open)
      // It is no string.
      if (end === -2) {
        at = to
        continue
      }
      if (end === -1) {
        if (bytes.length - from <= LONGEST) this.#keep(bytes.subarray(from), open !== -1)
        return
      }
      this.#key = undefined
      this.#take(bytes, open + 1, end - 1)
      at = end
    }
    // Whole events end here; nothing begins in them that goes on.
    const last = bytes.at(-1)
    if (last === 0x0a || last === 0x0d) return
    const from = Math.max(at, bytes.length - this.#longest - 1)
    if (bytes.indexOf(QUOTE, from) !== -1) this.#keep(bytes.subarray(from), false)
  }

  /** The first of what is looked for from `at` on. */
  #next(bytes: Buffer, at: number): Found | undefined {
    let first: Found | undefined
    for (const needle of this.#needles) {
      // Each is searched once for each place that it has, however often the others are found before it.
      if (needle.at < at) {
        const from = bytes.indexOf(needle.bytes, at)
        needle.at = from === -1 ? Number.POSITIVE_INFINITY : from
      }
      if (needle.at < (first?.from ?? Number.POSITIVE_INFINITY))
        first = { from: needle.at, to: needle.at + needle.bytes.length, key: needle.next }
    }
    const from = this.#key ? bytes.indexOf(this.#key, at) : -1
    return from !== -1 && from < (first?.from ?? Number.POSITIVE_INFINITY)
      ? { from, to: from + this.#key!.length, key: undefined }
      : first
  }

  #keep(bytes: Buffer, open: boolean): void {
    // A copy: a short piece must not keep the whole read in memory that it came with.
    this.#rest = [Buffer.from(bytes)]
    this.#restBytes = bytes.length
    this.#open = open
  }

  #take(bytes: Buffer, from: number, to: number): void {
    if (to <= from || this.found.length >= MOST) return
    const text = bytes.toString('latin1', from, to)
    const value = text.includes('\\') ? unescaped(bytes.toString('utf8', from, to)) : text
    if (value) this.found.push(value)
  }
}

/** Where the quote stands that opens the value of a key which ends at `at`; -1: more must come to tell, -2: it has no string. */
function valueStart(b: Buffer, at: number): number {
  let i = space(b, at)
  if (i === b.length) return -1
  if (b[i] !== COLON) return -2
  i = space(b, i + 1)
  if (i === b.length) return -1
  return b[i] === QUOTE ? i : -2
}

function space(b: Buffer, from: number): number {
  let i = from
  while (b[i] === 0x20 || b[i] === 0x09 || b[i] === 0x0a || b[i] === 0x0d) i++
  return i
}

/** Where the string ends that opens at `open`; -1: not here. */
function stringEnd(b: Buffer, open: number): number {
  for (let i = open + 1; ; ) {
    const quote = b.indexOf(QUOTE, i)
    if (quote === -1) return -1
    let slashes = 0
    while (b[quote - 1 - slashes] === BACKSLASH) slashes++
    if (slashes % 2 === 0) return quote + 1
    i = quote + 1
  }
}

function unescaped(text: string): string | undefined {
  try {
    return JSON.parse(`"${text}"`)
  } catch {
    return undefined
  }
}
