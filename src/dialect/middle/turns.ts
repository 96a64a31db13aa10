// Turns: repairs of a conversation that vendors need and clients do not make. Calls and results in pairs under legal ids that are used
// once, results right behind their calls, nothing blank, no turn without content.
import { createHash } from 'node:crypto'
import type { Call, Media, Opaque, Part, Result, Text, Turn } from './form.ts'

export interface Repairs {
  /** the characters that an id may have, as in a class: `a-zA-Z0-9_-` */
  legal: string
  /** and how many of them */
  max: number
  /** before the number of an id that is made because the client gave none */
  prefix: string
  /** roles of which neighbouring turns become one */
  merge: readonly Turn['role'][]
  /** a blank text with a proof is kept */
  sealed?: boolean
}

export interface Repaired {
  turns: Turn[]
  /** The client's own id of a call, which may have been given to several; '': it gave none. */
  said(id: string): string
}

/** The same request is repaired in the same way, and what is added to it changes nothing of what was there: caches depend on it. */
export function repaired(turns: readonly Turn[], by: Repairs): Repaired {
  const pairs = new Pairs(by)
  const steps = joined(turns.map(turn => told(turn, by)).filter(hasParts), by)
  const paired = steps.map(turn => pairs.take(turn))
  const out: Turn[] = []
  for (const [n, turn] of paired.entries()) {
    out.push(turn.role === 'assistant' ? callsLast(turn) : turn)
    // Of several assistant turns in a row the results come behind the last: they belong to calls made at once.
    if (turn.role !== 'assistant' || paired[n + 1]?.role === 'assistant') continue
    const run: Turn[] = []
    for (let i = n; paired[i]?.role === 'assistant'; i--) run.unshift(paired[i]!)
    const results = run.flatMap(({ parts }) => parts.filter(isCall)).map(call => pairs.resultOf(call))
    if (results.length > 0) out.push({ role: 'user', parts: results })
  }
  return { turns: joined(out.filter(hasParts), by), said: id => pairs.said(id) }
}

/**
 * Of a conversation that others would take: whoever says only what is to be done wants it done, so that it is the user's turn, and
 * an assistant that speaks first (a greeting, a history that was cut) speaks after one of the user's.
 * @param system is emptied where it became the turn
 */
export function begun(turns: readonly Turn[], system: Text[]): Turn[] {
  if (turns.length === 0) return system.length === 0 ? [] : [{ role: 'user', parts: system.splice(0) }]
  return turns[0]!.role === 'assistant' ? [userTurn(BEGINNING), ...turns] : [...turns]
}

/** With a turn of the user's at the end, for models that begin no answer where an assistant has left off. */
export function continued(turns: Turn[]): Turn[] {
  return turns.at(-1)?.role === 'assistant' ? [...turns, userTurn(GO_ON)] : turns
}

const userTurn = (text: string): Turn => ({ role: 'user', parts: [{ type: 'text', text }] })
const BEGINNING = '(The assistant speaks first.)'
const GO_ON = 'Please continue.'

const hasParts = ({ parts }: Turn) => parts.length > 0
const isCall = (part: Part): part is Call => part.type === 'call' && !part.by
const isResult = (part: Part): part is Result => part.type === 'result' && !part.by
const isBlank = (part: Text | Media | Opaque | Part) =>
  (part.type === 'text' || part.type === 'refusal') && !part.text.trim()

/** Without what is blank; a breakpoint of the cache that stood there goes to what is before it. */
function told(turn: Turn, { sealed }: Repairs): Turn {
  const parts: Part[] = []
  for (const part of turn.parts) {
    if (!isBlank(part) || (sealed && part.type === 'text' && part.seal)) {
      const spoken = part.type === 'result' && part.parts.some(isBlank)
      parts.push(spoken ? { ...part, parts: part.parts.filter(one => !isBlank(one)) } : part)
      continue
    }
    const before = parts.at(-1)
    if (part.cache && before && !before.cache) parts[parts.length - 1] = { ...before, cache: part.cache }
  }
  return { ...turn, parts }
}

/** Neighbours of one role as one turn. */
function joined(turns: readonly Turn[], { merge }: Repairs): Turn[] {
  const out: Turn[] = []
  for (const turn of turns) {
    const before = out.at(-1)
    if (before?.role !== turn.role || !merge.includes(turn.role)) {
      out.push({ ...turn, parts: [...turn.parts] })
      continue
    }
    for (const part of turn.parts) before.parts.push(part)
    if (turn.phase) before.phase = turn.phase
    if (turn.ext) before.ext ??= turn.ext
  }
  return out
}

/** What a client put between a call and its result stands before the calls. */
function callsLast(turn: Turn): Turn {
  const first = turn.parts.findIndex(isCall)
  const last = turn.parts.findLastIndex(isCall)
  if (first === -1 || last === turn.parts.length - 1) return turn
  const { parts } = turn
  return { ...turn, parts: [...parts.slice(0, first), ...parts.slice(last + 1), ...parts.slice(first, last + 1)] }
}

/** Calls with their results, both under the id that they have from now on. */
class Pairs {
  readonly #by: Repairs
  readonly #legal: RegExp
  readonly #illegal: RegExp
  /** the client's ids, by ours */
  readonly #said = new Map<string, string>()
  /** how often an id was given */
  readonly #given = new Map<string, number>()
  readonly #waiting = new Map<string, Waiting>()
  readonly #results = new Map<string, Result>()
  /** counts what is called at once: assistant turns that follow one another */
  #step = 0

  constructor(by: Repairs) {
    this.#by = by
    this.#legal = new RegExp(`^[${by.legal}]{1,${by.max}}$`)
    this.#illegal = new RegExp(`[^${by.legal}]`, 'g')
  }

  said(id: string): string {
    return this.#said.get(id) ?? id
  }

  /** The turn without the results that belong to a call, and with the ids that calls have from now on. */
  take(turn: Turn): Turn {
    if (turn.role !== 'assistant') this.#step++
    const parts: Part[] = []
    for (const part of turn.parts)
      if (isCall(part)) parts.push(this.#called(part))
      else if (isResult(part)) parts.push(...this.#answered(part))
      else parts.push(part)
    return { ...turn, parts }
  }

  /** What was answered to a call; an error when nothing was. */
  resultOf({ id, name }: Call): Result {
    const none: Result = { type: 'result', callId: id, name, error: true, parts: [{ type: 'text', text: NO_RESULT }] }
    return this.#results.get(id) ?? none
  }

  #called(call: Call): Call {
    const ours = { ...call, id: this.#idOf(call.id) }
    this.#said.set(ours.id, call.id)
    const keys = [`all ${call.name}`, 'all']
    for (const key of [...keys, ...(call.id === '' ? keys.map(one => `without ${one}`) : [`id ${call.id}`])]) {
      const waiting = this.#waiting.get(key) ?? new Waiting()
      this.#waiting.set(key, waiting)
      waiting.add(ours.id, call.name, this.#step)
    }
    return ours
  }

  #answered(result: Result): readonly Part[] {
    const { callId, name } = result
    const keys = [`id ${callId}`, `${callId === '' ? '' : 'without '}all${name ? ` ${name}` : ''}`]
    for (const key of keys) {
      const call = this.#waiting.get(key)?.next(id => this.#results.has(id))
      if (!call) continue
      this.#results.set(call.id, { ...result, callId: call.id, name: call.name })
      return []
    }
    return orphaned(result)
  }

  #idOf(said: string): string {
    const { prefix, max } = this.#by
    const plain = said === '' ? `${prefix}${this.#said.size + 1}` : this.#made(said)
    for (let n = this.#given.get(plain) ?? 1; ; n++) {
      const id = n === 1 ? plain : `${plain.slice(0, max - 1 - String(n).length)}_${n}`
      if (this.#said.has(id)) continue
      this.#given.set(plain, n + 1)
      return id
    }
  }

  #made(said: string): string {
    if (this.#legal.test(said)) return said
    const digest = createHash('sha256').update(said).digest('hex').slice(0, 8)
    return `${said.replace(this.#illegal, '_').slice(0, this.#by.max - 9)}_${digest}`
  }
}

/** Calls that one key fits. Clients use ids again, so that it is the newest step that is answered; in a step the first that waits. */
class Waiting {
  readonly #steps: { step: number; at: number; calls: { id: string; name: string }[] }[] = []

  add(id: string, name: string, step: number): void {
    const newest = this.#steps.at(-1)
    if (newest?.step === step) newest.calls.push({ id, name })
    else this.#steps.push({ step, at: 0, calls: [{ id, name }] })
  }

  next(isAnswered: (id: string) => boolean): { id: string; name: string } | undefined {
    for (let newest = this.#steps.at(-1); newest; newest = this.#steps.at(-1)) {
      while (newest.at < newest.calls.length && isAnswered(newest.calls[newest.at]!.id)) newest.at++
      if (newest.at < newest.calls.length) return newest.calls[newest.at]
      this.#steps.pop()
    }
    return undefined
  }
}

const NO_RESULT = 'no result was given'

/** A result to which there is no call, as what it says. */
function orphaned({ name, parts }: Result): Part[] {
  const label = `Result of ${name ? `a call of ${name}` : 'a call'} that is no longer there:`
  const texts = parts.map(part => (part.type === 'text' ? part.text : part.type === 'opaque' ? part.json : ''))
  const said = texts.filter(text => text !== '').join('\n')
  return [{ type: 'text', text: said === '' ? `${label} nothing` : `${label}\n${said}` }, ...parts.filter(isMedia)]
}

const isMedia = (part: Text | Media | Opaque): part is Media => part.type === 'media'
