// Trouble of our own: errors that say something of this machine or process, and nothing of whom it was talking to.

/** `alone`: it can be nothing else. `maybe`: it may be one far side's name or address, so another far side is asked first. */
interface Kind {
  what: string
  blame: 'alone' | 'maybe'
}

const kinds = new Map<string, Kind>([
  ['EMFILE', { what: 'too many open files: raise LimitNOFILE or ulimit -n', blame: 'alone' }],
  ['ENFILE', { what: 'the machine has too many open files', blame: 'alone' }],
  ['ENOBUFS', { what: 'no buffers for another socket', blame: 'alone' }],
  ['ENOMEM', { what: 'out of memory', blame: 'alone' }],
  ['EAI_MEMORY', { what: 'out of memory', blame: 'alone' }],
  ['EAI_SYSTEM', { what: 'names cannot be looked up', blame: 'alone' }],
  ['ENETDOWN', { what: 'the network is down', blame: 'alone' }],
  // Ports run out towards one address at a time, a resolver fails for one domain, and a route is missing to one network.
  ['EADDRNOTAVAIL', { what: 'no local port or address to connect from', blame: 'maybe' }],
  ['EAI_AGAIN', { what: 'the name server does not answer', blame: 'maybe' }],
  ['EAI_FAIL', { what: 'the name server failed', blame: 'maybe' }],
  ['ENETUNREACH', { what: 'no route to the network', blame: 'maybe' }],
])

export type Blame = Kind['blame']

/** Whether an error of this code is our own trouble. */
export const ownTrouble = (code: string): Blame | undefined => kinds.get(code)?.blame

/** What it is, for operators. */
export const troubleWords = (code: string): string => kinds.get(code)?.what ?? code

/** The code of an error; of several (one for each address that was tried) one that is not our own trouble, if there is any. */
export function codeOf(error: NodeJS.ErrnoException): string {
  const several = error instanceof AggregateError ? (error.errors as NodeJS.ErrnoException[]) : []
  const others = several.map(one => one.code ?? '').find(code => code !== '' && !kinds.has(code))
  return others ?? error.code ?? ''
}

// A spell is over when nothing of the kind was met for so long.
const SPELL_MS = 10_000

/** What of it this process has met: a line in the log for each spell, the state while it lasts, and counts. */
export class OwnTrouble {
  /** by error code, since the process began */
  readonly counts = new Map<string, number>()
  readonly #log: (line: string) => void
  readonly #now: () => number
  #code = ''
  #last = Number.NEGATIVE_INFINITY

  constructor(options: { log: (line: string) => void; now: () => number }) {
    this.#log = options.log
    this.#now = options.now
  }

  met(code: string): void {
    const now = this.#now()
    this.counts.set(code, (this.counts.get(code) ?? 0) + 1)
    if (now - this.#last > SPELL_MS || code !== this.#code)
      this.#log(`${code}: ${troubleWords(code)}; no account is blamed, and requests are told to come back`)
    this.#code = code
    this.#last = now
  }

  /** In words, while it lasts. */
  state(): string | undefined {
    return this.#now() - this.#last > SPELL_MS ? undefined : `${this.#code}: ${troubleWords(this.#code)}`
  }
}
