// Reads a line that line.ts wrote, as the document it stands for.
import { formatUsd } from '../../lib/money.ts'
import type { Attempt, Candidate, Choice, Explanation, UsageRead, Wait } from './explanation.ts'
import { flag } from './line.ts'

type AccountWords = [id: number, name: string, priority: number]
type Ranked = [...AccountWords, held: number, limit: number, chosen: number]
type Full = [...AccountWords, held: number, limit: number]
type Out = [...AccountWords, reason: string, until: number]
type ChoiceLine = [
  at: number,
  how: Choice['how'],
  sticky: number,
  taken: number,
  looks: number,
  others: number,
  ranked: Ranked[],
  full?: Full[],
  out?: Out[],
  left?: AccountWords[],
  moreRanked?: number,
  moreOthers?: number,
]
type AttemptLine = [
  id: number,
  started: number,
  ended: number,
  status: number,
  choice: number,
  requestId: string,
  name?: string,
  error?: string,
  kind?: string,
  type?: string,
  code?: string,
  excerpt?: string,
  again?: '' | 'fresh' | 'unsealed' | 'renewed',
  until?: number,
  via?: string,
]

/** The names of line.ts. */
interface Line {
  e: number
  s: number
  i: string
  r: string
  l: string
  x: number
  ph?: string
  w?: [number, string, number, string, number?, string?]
  p?: string
  d?: string
  ud?: string
  m?: string
  um?: string
  c?: string
  er?: string
  ca?: string
  q?: [Wait['for'], number, number][]
  qs?: number
  ch?: ChoiceLine[]
  a?: AttemptLine[]
  cm?: 'partial' | 'complete'
  dr?: string[]
  f?: number
  re?: [string, string][]
  se?: 'reserved' | 'released' | 'booked'
  u?: [number, number, number, number, number, number, number, number, string?, string?]
  co?: string
  cd?: string
  pr?: string
  pf?: number
  mu?: string
  su?: number
}

/** Undefined for what a crash or a full disk left of a line. */
export function readIfWhole(id: string, at: number, json: string): Explanation | undefined {
  try {
    return readExplainLine(id, at, json)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

/** @throws SyntaxError when it is damaged */
export function readExplainLine(id: string, at: number, json: string): Explanation {
  const line = JSON.parse(json) as Line
  const under = line.ph !== undefined
  const [userId, user, keyId, key, groupId, group] = line.w ?? []
  const has = (bit: number) => (line.x & bit) !== 0
  const choices = (line.ch ?? []).map(choice => readChoice(choice, line.a ?? []))
  const dropped = line.dr ?? []
  const [from, to] = [line.d ?? null, line.ud ?? line.d ?? null]
  const translated = from !== null && to !== null && to !== '' && from !== to
  const left = dropped.filter(token => !token.startsWith('~'))
  return {
    request_id: id,
    source: 'recorded',
    state: under ? 'under way' : 'ended',
    phase: line.ph ?? null,
    at: new Date(at).toISOString(),
    duration_ms: under ? null : line.e,
    first_token_ms: line.f ?? null,
    status: under ? null : line.s,
    code: line.c ?? null,
    error: line.er ?? null,
    cause: line.ca ?? null,
    ip: line.i === '' ? null : line.i,
    user: user ?? null,
    user_id: userId ?? null,
    key: key ?? null,
    key_id: keyId ?? null,
    group: group ?? null,
    group_id: groupId ?? null,
    method: line.r === '' ? null : line.r,
    path: line.l,
    dialect: from,
    platform: line.p ?? null,
    model: line.m ?? null,
    upstream_model: line.um === '' ? null : (line.um ?? line.m ?? null),
    stream: has(flag.stream),
    metered: has(flag.metered),
    intercepted: has(flag.intercepted),
    completion: line.cm ?? 'none',
    waits: readWaits(line),
    choices,
    attempts: readAttempts(line.a ?? [], choices, line),
    translation: translated
      ? {
          from,
          to,
          left_out: left,
          changed: dropped.filter(token => token.startsWith('~')).map(token => token.slice(1)),
        }
      : null,
    left_out: translated ? [] : left,
    usage: line.u ? readUsage(line.u, has(flag.partial)) : null,
    price:
      line.pr === undefined
        ? null
        : {
            source: line.pr,
            since: line.pf ? new Date(line.pf).toISOString() : null,
            multiplier: multiplied(BigInt(line.mu ?? '10000')),
          },
    cost: usd(line.co),
    charged: usd(line.cd ?? line.co),
    billing: line.w ? (has(flag.subscription) ? 'subscription' : 'balance') : null,
    subscription_id: line.su ?? null,
    reserve: (line.re ?? []).map(([of, amount]) => ({ of, amount: formatUsd(BigInt(amount)) })),
    settlement: line.se ?? 'none',
    links: null,
    not_known: [],
  }
}

const usd = (nano: string | undefined): string | null => (nano === undefined ? null : formatUsd(BigInt(nano)))

/** `1.5` of 15000. */
function multiplied(tenThousandths: bigint): string {
  const rest = (tenThousandths % 10_000n).toString().padStart(4, '0').replace(/0+$/, '')
  return `${tenThousandths / 10_000n}${rest === '' ? '' : `.${rest}`}`
}

const time = (ms: number): string | null => (ms > 0 ? new Date(ms).toISOString() : null)

function readWaits({ q = [], qs, ch = [] }: Line): Wait[] {
  const waits = q.map(([what, after_ms, ms]): Wait => ({ for: what, after_ms, ms, now: false }))
  // Whoever has looked at accounts waits for one of them.
  if (qs !== undefined) waits.push({ for: ch.length > 0 ? 'account' : 'user', after_ms: qs, ms: 0, now: true })
  return waits
}

function readChoice(line: ChoiceLine, attempts: readonly AttemptLine[]): Choice {
  const [after, how, sticky, taken, looks, others, ranked, full = [], out = [], left = [], moreRanked = 0, more = 0] =
    line
  const asked = how === 'look' || how === 'waiting'
  const lost = new Set(full.map(([id]) => id))
  const candidate = ([id, name, priority]: AccountWords, rest: Partial<Candidate>): Candidate => ({
    ...{ account: name, account_id: id, priority, rank: null, in_flight: null, limit: null, last_chosen: null },
    ...{ sticky: id === sticky, chosen: id === taken, veto: null, until: null },
    ...rest,
  })
  const candidates = ranked.map(([id, name, priority, held, limit, chosen], i) =>
    candidate([id, name, priority], {
      rank: i + 1,
      last_chosen: chosen,
      ...(asked ? { in_flight: held, limit: limit > 0 ? limit : null } : {}),
      ...(lost.has(id) ? { veto: 'somebody else took its last place meanwhile' } : {}),
    }),
  )
  const known = new Set(candidates.map(({ account_id }) => account_id))
  for (const [id, name, priority, held, limit] of full)
    if (!known.has(id))
      candidates.push(
        candidate([id, name, priority], { veto: 'full', in_flight: held, limit: limit > 0 ? limit : null }),
      )
  for (const [id, name, priority, reason, until] of out)
    candidates.push(candidate([id, name, priority], { veto: reason, until: time(until) }))
  for (const [id, name, priority] of left)
    candidates.push(candidate([id, name, priority], { veto: leftOut(id, after, attempts) }))
  return {
    ...{ after_ms: after, how, looks, chosen: candidates.find(({ chosen }) => chosen)?.account ?? null },
    ...{ candidates, not_looked_at: others, not_listed: moreRanked + more },
  }
}

// Who is well and has a place was left out for what this request had met.
function leftOut(id: number, after: number, attempts: readonly AttemptLine[]): string {
  const before = attempts.filter(([, started]) => started <= after)
  if (before.some(([account]) => account === id)) return 'asked already by this request'
  return 'left out with one that was asked: behind the same proxy or address, or it could not be told the request either'
}

function readAttempts(lines: readonly AttemptLine[], choices: readonly Choice[], line: Line): Attempt[] {
  return lines.map((attempt, i) => {
    const [id, started_ms, ended_ms, status, choice, upstream, name, error = '', kind = '', error_type = ''] = attempt
    const [error_code = '', excerpt = '', again = '', until = 0, via = ''] = attempt.slice(10) as Tail
    const known = choices[choice]?.candidates.find(({ account_id }) => account_id === id)?.account
    return {
      ...{
        account: name ?? known ?? String(id),
        account_id: id,
        started_ms,
        ended_ms,
        status,
        error,
        kind,
        error_type,
      },
      ...{ error_code, excerpt, upstream_request_id: upstream === '' ? null : upstream, out_until: time(until) },
      followed_by: followed(again, lines[i + 1] !== undefined, error !== '', line),
      proxy: via === '' ? null : via,
      choice: choice === -1 ? null : choice,
    }
  })
}

type Tail = [code?: string, excerpt?: string, again?: '' | keyof typeof ways, until?: number, via?: string]

const ways = {
  fresh: 'the same account was asked again, over a connection of its own',
  unsealed: 'the same account was asked again, without the proofs of reasoning',
  renewed: 'its token was renewed, and it was asked again',
}

function followed(again: '' | keyof typeof ways, more: boolean, failed: boolean, { c, s, ph }: Line): string {
  if (again !== '') return ways[again]
  if (more) return 'another account was chosen'
  if (ph !== undefined) return failed ? 'another account is being chosen' : 'it is under way'
  if (c !== undefined) return `the request ended with ${c}`
  return s >= 400
    ? 'the client was told so'
    : failed
      ? 'the client had the answer up to there'
      : 'the client had the answer'
}

function readUsage(u: NonNullable<Line['u']>, partial: boolean): UsageRead {
  const [input, output, cacheRead, w5m, w30m, w1h, w12h, searches, mode, geo] = u
  return {
    ...{ input_tokens: input, output_tokens: output, cache_read_tokens: cacheRead },
    ...{
      cache_write_5m_tokens: w5m,
      cache_write_30m_tokens: w30m,
      cache_write_1h_tokens: w1h,
      cache_write_12h_tokens: w12h,
    },
    ...{ web_searches: searches, mode: mode || null, geo: geo || null, partial },
  }
}
