// The story of a request, in the order of its events, for a terminal of 80 columns.
import { stripVTControlCharacters } from 'node:util'
import type { Attempt, Candidate, Choice, Explanation, Links, UsageRead, Wait } from '../../core/explain/explanation.ts'
import { columns } from '../../lib/width.ts'

const WIDTH = 80
/** characters of what an upstream said */
const EXCERPT = 200
/** what stands before each event: its time */
const MARGIN = 11

interface Event {
  /** ms after the request began */
  at: number
  text: string
  /** below it, a line each */
  more?: string[]
}

/** Several lines, without a line end behind the last. */
export function story(e: Explanation): string {
  const lines = [...opening(e), '', ...events(e).flatMap(told), ...closing(e)]
  return lines.map(plain).join('\n')
}

// Models and errors come from outside: what would steer the terminal is not printed.
const plain = (line: string) => stripVTControlCharacters(line).replaceAll(/\p{Cc}/gu, '?')

// ---- who asked for what ----

function opening(e: Explanation): string[] {
  const asked = [e.method, e.path].filter(Boolean).join(' ')
  const speech = [e.dialect, e.stream ? 'a stream' : null].filter(Boolean).join(', ')
  const who = e.user === null ? 'nobody that gw knows' : `${e.user} with key ${e.key}`
  const where = e.group === null ? '' : `, group ${e.group}`
  return [
    `Request ${e.request_id}`,
    ...labelled('began', `${e.at.replace('T', ' ').replace('Z', '')} UTC`),
    ...labelled(
      'asked',
      `${asked || (e.not_known.length > 0 ? 'not known here' : 'what was no request')}${speech === '' ? '' : ` (${speech})`}${e.ip ? ` from ${e.ip}` : ''}`,
    ),
    ...labelled('by', `${who}${where}${e.platform ? `, platform ${e.platform}` : ''}`),
    ...(e.model
      ? labelled(
          'model',
          e.upstream_model && e.upstream_model !== e.model
            ? `${e.model}, which is ${e.upstream_model} upstream`
            : e.model,
        )
      : []),
    ...labelled('came to', outcome(e)),
  ]
}

function outcome(e: Explanation): string {
  if (e.state === 'under way') return `it is still under way: ${e.phase}`
  const took = e.duration_ms === null ? '' : ` after ${length(e.duration_ms)}`
  const got = { none: '', partial: '; the client got a part of the answer', complete: '' }[e.completion]
  const left = e.status === 499 ? ', the client left' : ''
  const cause = e.cause === null || e.cause === '-' ? '' : ` (${e.cause})`
  return `${e.status}${left}${e.code ? ` ${e.code}` : ''}${cause}${took}${got}`
}

// ---- what happened ----

function events(e: Explanation): Event[] {
  const all: Event[] = [...e.waits.map(waited), ...putAside(e)]
  for (const [i, choice] of e.choices.entries()) {
    all.push(chosen(choice))
    for (const attempt of e.attempts.filter(one => one.choice === i)) all.push(tried(attempt, e))
  }
  for (const attempt of e.attempts.filter(one => one.choice === null)) all.push(tried(attempt, e))
  if (e.intercepted) all.push({ at: e.duration_ms ?? 0, text: 'gw answered by itself: it was a warmup request' })
  if (e.first_token_ms !== null)
    all.push({ at: e.first_token_ms, text: e.stream ? 'the client got the first token' : 'the answer was there' })
  if (e.state === 'ended' && e.duration_ms !== null)
    all.push({ at: e.duration_ms, text: `it ended: ${e.error ?? e.status}` })
  // Of the same moment the order is that of the list: a choice before its attempt.
  return all
    .map((event, i) => ({ event, i }))
    .sort((a, b) => a.event.at - b.event.at || a.i - b.i)
    .map(({ event }) => event)
}

const places = { user: 'a place of its user', key: 'a place of its key', account: 'a place at any account' }

function waited(wait: Wait): Event {
  const what = places[wait.for]
  return {
    at: wait.after_ms,
    text: wait.now ? `it waits for ${what} since then` : `it waited ${length(wait.ms)} for ${what}`,
  }
}

function putAside(e: Explanation): Event[] {
  if (e.reserve.length === 0) return []
  const at = e.choices[0]?.after_ms ?? e.duration_ms ?? 0
  const amounts = e.reserve.map(({ of, amount }) => `${amount} USD of ${bucket(of)}`).join(', ')
  const text =
    e.settlement === 'none'
      ? `it could not be paid: it may cost ${amounts}`
      : `${amounts} put aside, the most that it may cost`
  return [{ at, text }]
}

const bucket = (name: string): string =>
  name === 'balance' ? 'the balance' : name.startsWith('key') ? "the key's quota" : `the subscription (${name})`

function chosen(choice: Choice): Event {
  const { how, looks, candidates, not_looked_at, not_listed } = choice
  const all = candidates.length + not_looked_at + not_listed
  const who = choice.chosen ?? 'none'
  const text = {
    look: `of ${all} account${all === 1 ? '' : 's'} ${who} was chosen`,
    waiting: `it looked again${looks > 1 ? `, for the ${looks}th time` : ''}: ${who} was chosen`,
    freed: `a place came free at ${who}, and was taken`,
    beside: `of ${all} account${all === 1 ? '' : 's'} ${who} was chosen; on this route places do not count`,
  }[how]
  const more = table(candidates)
  if (not_listed > 0) more.push(`and ${not_listed} more`)
  if (not_looked_at > 0)
    more.push(
      how === 'freed'
        ? `the other ${not_looked_at} were not looked at then`
        : `${not_looked_at} more were not looked at: these came before them`,
    )
  return { at: choice.after_ms, text, more }
}

function table(candidates: readonly Candidate[]): string[] {
  const name = Math.min(24, Math.max(...candidates.map(c => columns(c.account)), 0))
  return candidates.map(
    c => `${c.chosen ? '→' : ' '} ${c.account}${' '.repeat(Math.max(0, name - columns(c.account)))}  ${standing(c)}`,
  )
}

function standing(c: Candidate): string {
  const busy =
    c.in_flight === null
      ? []
      : [c.limit === null ? `${c.in_flight} under way` : `${c.in_flight} of ${c.limit} places taken`]
  if (c.rank === null)
    return [`no: ${c.veto}${c.until ? ` until ${clock(c.until)}` : ''}`, ...(c.veto === 'full' ? busy : [])].join(', ')
  const facts = [`#${c.rank}`, ...(c.sticky ? ['bound to the session'] : []), `priority ${c.priority}`, ...busy]
  if (c.last_chosen === 0) facts.push('never chosen before')
  return `${facts.join(', ')}${c.veto === null ? '' : `; ${c.veto}`}`
}

function tried(attempt: Attempt, e: Explanation): Event {
  const { account, status, error, kind, error_type, error_code, upstream_request_id: id } = attempt
  const took = attempt.ended_ms >= attempt.started_ms ? ` after ${length(attempt.ended_ms - attempt.started_ms)}` : ''
  const over = e.state === 'ended' || attempt.ended_ms > 0
  const came = !over ? 'is being asked' : status === 0 ? `no answer${took}` : `${status}${took}`
  const through = attempt.proxy === null ? '' : ` through proxy ${attempt.proxy}`
  const more: string[] = []
  if (error !== '') more.push(`${kind === '' ? '' : `${kind}: `}${error}`)
  const words = [error_type, error_code].filter(word => word !== '' && !error.includes(word)).join(' ')
  if (words !== '') more.push(`in its own words: ${words}`)
  // All of it is in --json, and most of it is in the error.
  if (attempt.excerpt !== '' && error === '') more.push(`it said: ${attempt.excerpt.slice(0, EXCERPT)}`)
  if (id !== null) more.push(`its id of the request: ${id}`)
  if (attempt.out_until !== null) more.push(`${account} is left alone until ${clock(attempt.out_until)}`)
  more.push(attempt.followed_by)
  return { at: attempt.started_ms, text: `asked ${account}${through}: ${came}`, more }
}

// ---- what it came to ----

function closing(e: Explanation): string[] {
  const lines: string[] = []
  if (e.translation) {
    const { from, to, left_out, changed } = e.translation
    const lost = [
      left_out.length > 0 ? `left out ${left_out.join(', ')}` : '',
      changed.length > 0 ? `changed ${changed.join(', ')}` : '',
    ].filter(Boolean)
    lines.push(
      ...labelled(
        'translated',
        `from ${from} to ${to}: ${lost.length === 0 ? 'nothing was left out' : lost.join('; ')}`,
      ),
    )
  }
  if (e.left_out.length > 0) lines.push(...labelled('left out', e.left_out.join(', ')))
  if (e.usage) lines.push(...labelled('usage', usage(e.usage)))
  if (e.price) {
    const since = e.price.since === null ? '' : `, in force since ${e.price.since.slice(0, 10)}`
    lines.push(...labelled('price', `${e.price.source}${since}; the group's multiplier is ${e.price.multiplier}`))
  }
  if (e.cost !== null) lines.push(...labelled('cost', `${e.cost} USD, charged ${e.charged} USD to the ${e.billing}`))
  lines.push(...labelled('money', money(e)))
  if (e.links) lines.push(...linked(e.links))
  lines.push(...e.not_known.flatMap(text => labelled('not known', text)))
  return lines.length === 0 ? [] : ['', ...lines]
}

function usage(u: UsageRead): string {
  const counts: [number, string][] = [
    [u.input_tokens, 'tokens in'],
    [u.output_tokens, 'out'],
    [u.cache_read_tokens, 'read from a cache'],
    [u.cache_write_5m_tokens, 'written to a cache for 5m'],
    [u.cache_write_30m_tokens, 'for 30m'],
    [u.cache_write_1h_tokens, 'for 1h'],
    [u.cache_write_12h_tokens, 'for 12h'],
    [u.web_searches, 'web searches'],
  ]
  const told = counts.filter(([count], i) => i < 2 || count > 0).map(([count, what]) => `${count} ${what}`)
  const how = [
    u.mode ? `mode ${u.mode}` : '',
    u.geo ? `region ${u.geo}` : '',
    u.partial ? 'in part reckoned: not all of it was told' : '',
  ]
  return [...told, ...how.filter(Boolean)].join(', ')
}

function money(e: Explanation): string {
  switch (e.settlement) {
    case 'booked':
      return e.reserve.length > 0
        ? 'what it cost took the place of what was put aside'
        : 'what it cost was booked; nothing had been put aside'
    case 'released':
      return 'what was put aside was given back, and nothing booked'
    case 'reserved':
      return 'it is put aside'
    case 'none':
      return 'nothing was put aside, and nothing booked'
    case null:
      return 'not known'
  }
}

function linked({ usage, ledger, error, alerts }: Links): string[] {
  const lines: string[] = []
  if (usage) lines.push(...labelled('usage row', 'gw usage list'))
  if (ledger)
    lines.push(
      ...labelled('ledger', `${ledger.kind} of ${ledger.amount} USD, the balance after it ${ledger.balance} USD`),
    )
  if (error) {
    const { severity, phase, owner, type, recovered, cause } = error
    const words = [
      severity,
      `phase ${phase}`,
      `fault of the ${owner}`,
      type,
      cause,
      recovered ? 'recovered: the client saw nothing of it' : '',
    ]
    lines.push(...labelled('error log', words.filter(Boolean).join(', ')))
  }
  for (const { rule, dimension, severity, fired_at, resolved_at } of alerts) {
    const until = resolved_at === null ? 'it still is' : `resolved ${clock(resolved_at)}`
    lines.push(
      ...labelled(
        'alert',
        `${severity} ${rule}${dimension === '' ? '' : ` (${dimension})`} was firing: since ${clock(fired_at)}, ${until}`,
      ),
    )
  }
  return lines
}

// ---- how it is set ----

function told({ at, text, more = [] }: Event): string[] {
  const [first, ...rest] = wrapped(text, WIDTH - MARGIN)
  const margin = ' '.repeat(MARGIN)
  return [
    `${`+${length(at)}`.padStart(MARGIN - 2)}  ${first}`,
    ...rest.map(line => margin + line),
    ...more.flatMap(line => {
      const hanging = line.startsWith('→ ') || line.startsWith('  ') ? 4 : 0
      const [head, ...tail] = wrapped(line, WIDTH - MARGIN - 2, hanging)
      return [head!, ...tail].map(part => `${margin}  ${part}`)
    }),
  ]
}

function labelled(label: string, text: string): string[] {
  return wrapped(text, WIDTH - MARGIN).map((line, i) => `${(i === 0 ? label : '').padEnd(MARGIN - 1)} ${line}`)
}

/** Lines of at most `width` columns, those behind the first set in by `hanging`. A word that is longer is broken. */
function wrapped(text: string, width: number, hanging = 0): string[] {
  const lines: string[] = []
  let line = /^\s*/.exec(text)![0]
  let empty = true
  for (let word of text.trim().split(/ (?! )/)) {
    for (;;) {
      const glue = empty ? '' : ' '
      if (columns(line + glue + word) <= width) {
        line += glue + word
        empty = false
        break
      }
      if (!empty) {
        lines.push(line)
        line = ' '.repeat(hanging)
        empty = true
        continue
      }
      const room = width - columns(line)
      let taken = word.slice(0, room)
      while (columns(taken) > room) taken = taken.slice(0, -1)
      lines.push(line + taken)
      word = word.slice(taken.length)
      line = ' '.repeat(hanging)
    }
  }
  lines.push(line)
  return lines
}

/** `12 ms`, `1.23 s`, `12 m 05 s`. */
function length(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 100_000) return `${(ms / 1000).toFixed(2)} s`
  const seconds = Math.round(ms / 1000)
  return `${Math.floor(seconds / 60)} m ${String(seconds % 60).padStart(2, '0')} s`
}

const clock = (iso: string): string => iso.slice(11, 19)
