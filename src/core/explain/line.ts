// A line of what is kept of a request for `gw explain`: its id, a space, and JSON with short names, which read-line.ts spells out.
import { scrub } from '../../lib/credentials.ts'
import { quote } from '../../lib/log.ts'
import { causeOf } from '../errors/cause.ts'
import type { AttemptRecord, Outcome, SelectionRecord } from '../outcome.ts'

// Of a large group nobody reads all: the best, and of the others the first. What is left out is counted.
const BEST = 16
const OTHERS = 32
// Words of upstreams and of failures, which may be long.
const WORDS = 500

/** Bits of `x`. */
export const flag = { stream: 1, metered: 2, intercepted: 4, partial: 8, subscription: 16 } as const

/**
 * All of an Outcome that `gw explain` tells, also of one that is still under way. Built by hand, and in one go: it is done for every
 * request, and what is not there is not written. Times are ms after the request began.
 */
export function explainLine(o: Outcome): string {
  let line = `${o.id} {"e":${o.durationMs},"s":${o.status},"i":"${o.ip}","r":${word(o.method)},"l":${word(o.path)},"x":${flags(o)}`
  if (o.phase !== 'done') line += `,"ph":"${o.phase}"`
  if (o.keyId !== 0) {
    line += `,"w":[${o.userId},${word(o.user)},${o.keyId},${word(o.key)}`
    line += o.groupId === null ? ']' : `,${o.groupId},${word(o.group!)}]`
  }
  if (o.platform !== '') line += `,"p":"${o.platform}"`
  if (o.dialect !== '') line += `,"d":"${o.dialect}"`
  if (o.upstreamDialect !== o.dialect) line += `,"ud":"${o.upstreamDialect}"`
  if (o.model !== '') line += `,"m":${word(o.model)}`
  if (o.upstreamModel !== o.model) line += `,"um":${word(o.upstreamModel)}`
  if (o.failure !== undefined) line += `,"c":"${o.failure.code}"`
  if (o.error !== '') line += `,"er":${words(o.error)}`
  if (o.phase === 'done' && (o.failure !== undefined || o.error !== '')) line += `,"ca":"${causeOf(o)}"`
  if (o.waits.length > 0) line += `,"q":[${o.waits.map(w => `["${w.what}",${w.startedMs},${w.ms}]`).join()}]`
  if (o.waitingSince !== 0) line += `,"qs":${o.waitingSince - o.at}`
  if (o.choices.length > 0) line += `,"ch":[${choices(o)}]`
  if (o.attempts.length > 0) line += `,"a":[${attempts(o)}]`
  if (o.completion !== 'none') line += `,"cm":"${o.completion}"`
  if (o.dropped.length > 0) line += `,"dr":[${o.dropped.map(words).join()}]`
  if (o.firstTokenMs !== 0) line += `,"f":${o.firstTokenMs}`
  if (o.reserve.length > 0) line += `,"re":[${reserve(o)}]`
  if (o.settlement !== 'none') line += `,"se":"${o.settlement}"`
  if (o.settlement === 'booked') {
    line += `,"u":[${usage(o)}],"co":"${o.cost}"`
    if (o.charged !== o.cost) line += `,"cd":"${o.charged}"`
  }
  if (o.price !== '') {
    line += `,"pr":${word(o.price)},"pf":${o.priceFrom}`
    if (o.multiplier !== ONE) line += `,"mu":"${o.multiplier}"`
  }
  if (o.subscription !== null) line += `,"su":${o.subscription}`
  return `${line}}\n`
}

const ONE = 10_000n

const flags = (o: Outcome): number =>
  (o.stream ? flag.stream : 0) |
  (o.metered ? flag.metered : 0) |
  (o.intercepted ? flag.intercepted : 0) |
  (o.partial ? flag.partial : 0) |
  (o.billing === 'subscription' ? flag.subscription : 0)

function usage({ usage: u }: Outcome): string {
  const counts = `${u.input},${u.output},${u.cacheRead},${u.cacheWrite5m},${u.cacheWrite30m},${u.cacheWrite1h},${u.cacheWrite12h},${u.webSearches}`
  return u.mode === '' && u.geo === '' ? counts : `${counts},${words(u.mode)},${words(u.geo)}`
}

function reserve(o: Outcome): string {
  let all = ''
  for (const { bucket, amount } of o.reserve) all += `${all === '' ? '' : ','}["${bucket}","${amount}"]`
  return all
}

function choices(o: Outcome): string {
  let all = ''
  for (const choice of o.choices) all += `${all === '' ? '' : ','}${choiceOf(o, choice)}`
  return all
}

// [at, how, bound to, taken, looks, not looked at, best first, and where there are others: full, out, left out, how many more of the
// best, of the others]
function choiceOf(o: Outcome, s: SelectionRecord): string {
  const { ranked, vetoes } = s
  let best = ''
  const most = Math.min(ranked.length, BEST)
  for (let i = 0; i < most; i++) {
    const { account, held, chosen } = ranked[i]!
    best += `${i === 0 ? '[' : ',['}${known(account)},${held},${account.concurrency},${chosen}]`
  }
  const head = `[${s.at - o.at},"${s.how}",${s.sticky ?? 0},${s.taken},${s.looks},${s.others},[${best}]`
  // As nearly all are.
  if (s.full.length === 0 && vetoes === undefined && ranked.length === s.accounts.length && ranked.length <= BEST)
    return `${head}]`
  return `${head},${unlucky(s)}]`
}

function unlucky({ accounts, held, ranked, vetoes = [], full }: SelectionRecord): string {
  const told = new Set<number>(ranked.map(({ account }) => account.id))
  const filled: string[] = []
  for (const [i, account] of accounts.entries()) {
    if (!full.includes(account.id)) continue
    filled.push(`[${known(account)},${Number.isFinite(held[i]) ? held[i] : 0},${account.concurrency}]`)
    told.add(account.id)
  }
  const out = vetoes.map(({ account, why }) => {
    told.add(account.id)
    // An operator may read more of it than a client.
    const said = why.reason === 'in error' && account.reason !== null ? `in error: ${account.reason}` : why.reason
    return `[${known(account)},${word(said)},${why.until}]`
  })
  const left = accounts.filter(({ id }) => !told.has(id)).map(account => `[${known(account)}]`)
  const groups = [filled, out, left]
  const more = groups.reduce((sum, { length }) => sum + Math.max(0, length - OTHERS), 0)
  return `${groups.map(group => `[${group.slice(0, OTHERS).join()}]`).join()},${Math.max(0, ranked.length - BEST)},${more}`
}

function attempts(o: Outcome): string {
  let all = ''
  for (const attempt of o.attempts) all += `${all === '' ? '' : ','}${attemptOf(o, attempt)}`
  return all
}

// [account id, started, ended, status, choice, upstream request id, and where there is more: name, error, kind, type, code, excerpt,
// again, out until, proxy]
function attemptOf(o: Outcome, a: AttemptRecord): string {
  const choice = a.selection ? o.choices.indexOf(a.selection) : -1
  const head = `[${a.accountId},${a.startedMs},${a.endedMs},${a.status},${choice},${words(a.requestId)}`
  // Its name is among those of the choice.
  if (a.error === '' && a.excerpt === '' && a.via === '' && choice !== -1) return `${head}]`
  const said = `${words(a.error)},"${a.kind}",${words(a.errorType)},${words(a.errorCode)},${words(a.excerpt)}`
  return `${head},${quote(a.account)},${said},"${a.again}",${a.until},${quote(a.via)}]`
}

// Cut when it has been looked through: half a credential looks like none.
function words(text: string): string {
  if (text === '') return '""'
  const plain = scrub(text)
  return quote(plain.length > WORDS ? `${plain.slice(0, WORDS)}…` : plain)
}

// Names of models, keys and paths, and why accounts are out: the same few again and again, and clients may make up any number.
const written = new Map<string, string>()
const KNOWN = 2048

function word(name: string): string {
  let found = written.get(name)
  if (found === undefined) {
    found = words(name)
    if (written.size === KNOWN) written.clear()
    if (name.length <= 100) written.set(name, found)
  }
  return found
}

// Facts are replaced, never changed.
const accountWords = new WeakMap<object, string>()

/** Its id, name and priority. */
function known(account: { readonly id: number; readonly name: string; readonly priority: number }): string {
  let found = accountWords.get(account)
  if (found === undefined) {
    found = `${account.id},${quote(account.name)},${account.priority}`
    accountWords.set(account, found)
  }
  return found
}
