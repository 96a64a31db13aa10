// A credential is shown to its upstream and to nobody else: nothing that holds an account can be made to say it.
import { Writable } from 'node:stream'
import { format, inspect } from 'node:util'
import { deserialize, serialize } from 'node:v8'
import pino from 'pino'
import t from 'tap'
import { concealerOf } from '../../src/core/conceal.ts'
import { Credential } from '../../src/core/credential.ts'
import type { Outcome } from '../../src/core/outcome.ts'
import { loadAccount } from '../../src/core/read-snapshot.ts'
import { listHealth } from '../../src/core/record/health.ts'
import { credentialOf } from '../../src/core/snapshot.ts'
import { createLog } from '../../src/lib/log.ts'
import type { Step } from '../../src/mock/step.ts'
import { gateway, hello, until } from '../helpers/gateway.ts'

const plain = 'canary-5f0c1e'

/** Text of what `work` gives, or of why it gives nothing. */
function told(work: () => unknown): string {
  try {
    const made = work()
    return typeof made === 'string' ? made : inspect(made, { depth: Infinity, showHidden: true, customInspect: false })
  } catch (error) {
    return inspect(error, { depth: Infinity, showHidden: true })
  }
}

/** The value as text in every way that a program may take, knowingly or not. */
function everyWay(value: object): Record<string, string> {
  const spread = (of: object): unknown[] => {
    const found: unknown[] = []
    for (const name in of) found.push(name, (of as Record<string, unknown>)[name])
    for (const name of Reflect.ownKeys(of)) found.push(String(name), Reflect.get(of, name))
    if (of instanceof Map || of instanceof Set) found.push(...of)
    return found
  }
  const json = (_name: string, of: unknown) =>
    typeof of === 'bigint' ? String(of) : of instanceof Map ? [...of] : typeof of === 'function' ? { ...of } : of
  // A function cannot be cloned, and what holds one would say nothing: its data are cloned one by one.
  const data = (of: unknown, depth = 0): unknown =>
    typeof of === 'function' || depth > 5
      ? undefined
      : of instanceof Map
        ? new Map([...of].map(([k, v]) => [k, data(v, depth + 1)]))
        : Array.isArray(of)
          ? of.map(v => data(v, depth + 1))
          : Object.getPrototypeOf(Object(of)) === Object.prototype
            ? Object.fromEntries(Object.entries(of as object).map(([k, v]) => [k, data(v, depth + 1)]))
            : of
  return {
    json: told(() => JSON.stringify(value, json)),
    'json of entries': told(() => JSON.stringify(Object.entries(value), json)),
    inspect: told(() => inspect(value, { depth: Infinity, showHidden: true, getters: true, maxArrayLength: null })),
    'inspect without its say': told(() => inspect(value, { depth: Infinity, showHidden: true, customInspect: false })),
    '%o %O %j %s': told(() => format('%o %O %j %s', value, value, { v: String(value) }, value)),
    text: told(() => `${value}`),
    sum: told(() => '' + (value as unknown as string)),
    array: told(() => [value].join()),
    number: told(() => String(Number(value))),
    spread: told(() => ({ ...value })),
    'for in and own keys': told(() => spread(value)),
    assigned: told(() => Object.assign({}, value)),
    'v8 clone': told(() => deserialize(serialize(data(value)))),
    'v8 bytes': told(() => serialize(data(value)).toString('latin1')),
    'structured clone': told(() => structuredClone(data(value))),
    error: told(() => new Error('no', { cause: value })),
    'error by message': told(() => new Error(String(value)).stack),
  }
}

/** What a logger with our redaction writes of it. */
function logged(value: object): string {
  let lines = ''
  const out = new Writable({
    write(chunk, _encoding, done) {
      lines += chunk
      done()
    },
  })
  const made = createLog({ level: 'trace', format: 'json' })
  const symbols = Object.getOwnPropertySymbols(made.log)
  const stream = symbols.find(symbol => String(symbol) === 'Symbol(pino.stream)')!
  for (const log of [made.log, made.access]) {
    Reflect.set(log, stream, out)
    const error = Object.assign(new Error('no', { cause: value }), { value })
    log.info(value)
    log.info({ value, deep: { er: { value } }, list: [value], err: error })
    log.error(error)
    log.warn(`text ${value}`)
    log.warn('%s %o %O %j', value, value, value, value)
    log.child({ value }).info('of a child')
  }
  return lines
}

t.test('a credential is had by asking for it, and in no other way', async t => {
  const credential = new Credential(plain)
  t.equal(credential.reveal(), plain)
  t.equal(`${credential}`, '[credential]')
  t.equal(JSON.stringify({ credential }), '{"credential":"[credential]"}')
  t.equal(inspect({ credential }), '{ credential: [credential] }')
  t.strictSame(Reflect.ownKeys(credential), [])
  for (const [way, text] of Object.entries(
    everyWay({ credential, list: [credential], map: new Map([[1, credential]]) }),
  ))
    t.notMatch(text, plain, way)
  for (const [way, text] of Object.entries(everyWay(credential))) t.notMatch(text, plain, way)
  const lines = logged({ credential, hidden: { credential } })
  t.match(lines, 'credential', 'it was logged')
  t.notMatch(lines, plain)
})

t.test('nothing that a request leaves behind holds one', async t => {
  const lines: string[] = []
  const log = pino({ level: 'trace' }, { write: line => lines.push(line) })
  const gw = await gateway(t, { accounts: [{ name: plain }], log })
  const secret = gw.credential(plain)
  // The account's name is no secret: it tells us that we looked at the account.
  const { gateway: inside } = gw.daemon
  const outcomes: Outcome[] = []
  const { end } = inside.outcomes
  inside.outcomes.end = outcome => {
    outcomes.push(outcome)
    end(outcome)
  }
  t.equal((await gw.send(hello())).status, 200)
  gw.mock.script(secret, { status: 401, error: { type: 'authentication_error', message: 'no' } })
  t.ok((await gw.send(hello())).status >= 400)
  await until(t, 'both requests are over', () => outcomes.length === 2)
  t.ok(gw.mock.stats(secret).requests >= 2, 'the upstream was shown it')

  const [account] = inside.snapshot.accounts.values()
  t.equal(credentialOf(account!).reveal(), secret)
  const { snapshot } = inside
  const things: Record<string, object> = {
    outcome: outcomes[0]!,
    'outcome that failed': outcomes[1]!,
    snapshot,
    'account of the snapshot': account!,
    'accounts of the snapshot': [...snapshot.accounts.values()],
    'pools of the snapshot': [...snapshot.groups.keys()].map(id => snapshot.pool(id)),
    'live view': await gw.live(),
    'account of a probe': await loadAccount(
      gw.database.db,
      gw.secret,
      await gw.database.db.selectFrom('accounts').select('id').executeTakeFirstOrThrow(),
    ),
  }
  for (const [name, thing] of Object.entries(things)) {
    const ways = everyWay(thing)
    t.match(Object.values(ways).join(), plain, `${name} does hold the account`)
    for (const [way, text] of Object.entries(ways)) t.notMatch(text, secret, `${name}: ${way}`)
    t.notMatch(logged(thing), secret, `${name}: logged`)
  }
  t.match(lines.join(''), plain)
  t.notMatch(lines.join(''), secret, 'what the daemon logs')
})

t.test('who chose an account shows the credential of that moment', async t => {
  const gw = await gateway(t, { accounts: [{ name: 'a' }] })
  const { gateway: inside } = gw.daemon
  const [before] = inside.snapshot.accounts.values()
  await gw.set.account('a', { credential: 'another' })
  const after = inside.snapshot.accounts.get(before!.id)!
  t.equal(credentialOf(before!).reveal(), gw.credential('a'))
  t.equal(credentialOf(after).reveal(), 'another')
})

t.test('a credential that its upstream quotes is told to nobody', async t => {
  const lines: string[] = []
  const log = pino({ level: 'trace' }, { write: line => lines.push(line) })
  const gw = await gateway(t, { accounts: [{ name: 'a' }], log })
  const secret = 'own/"secret"+of=the account%'
  const forms = [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret)]
  await gw.set.account('a', { credential: secret })
  const message = `before, ${secret} and ?key=${encodeURIComponent(secret)}, ü after`
  const clean = 'before, *** and ?key=***, ü after'
  const own = { type: 'invalid_request_error', message }
  const far = 'x'.repeat(64 * 1024 - 100)
  const cases: Record<string, [step: Step, stream: boolean, heard: string]> = {
    'the client’s own mistake': [{ status: 400, error: own }, false, clean],
    'the same to a stream': [{ status: 400, error: own }, true, clean],
    'a large one, piece by piece': [
      { status: 400, error: { ...own, message: far + message }, drip: { bytes: 9_001, everyMs: 0 } },
      false,
      far + clean,
    ],
    'an error event first': [{ error: own, errorAt: 0 }, true, clean],
    'an error event after content': [
      { chunks: ['a', 'b'], error: { type: 'api_error', message }, errorAt: 4, drip: { bytes: 11, everyMs: 0 } },
      true,
      clean,
    ],
    'an error instead of an answer': [{ error: { type: 'api_error', message }, errorAt: 0 }, false, 'temporarily'],
    'a refusal of the credential': [{ status: 403, error: { message } }, false, 'forbidden'],
  }
  for (const [what, [step, stream, heard]] of Object.entries(cases)) {
    gw.mock.script(secret, step)
    const reply = await gw.send(hello({ stream }))
    const text = await reply.text()
    t.match(text, heard, what)
    for (const form of forms) t.notOk(text.includes(form), `${what}: no form of it`)
    for (const [name, value] of reply.headers) t.notOk(value.includes(secret), `${what}: ${name}`)
  }
  const [ailment] = gw.daemon.gateway.health.ailments(1)
  t.match(ailment?.reason, /^before, \*\*\* and .*after$/)
  await until(t, 'the refusal is stored', async () => (await listHealth(gw.database.db, new Date(0))).length === 1)
  const kept = JSON.stringify([lines, await gw.live(), await listHealth(gw.database.db, new Date(0))])
  t.match(kept, 'before, ***')
  for (const form of forms) t.notOk(kept.includes(form) || kept.includes(JSON.stringify(form).slice(1, -1)), 'kept')
})

t.test('of an OAuth credential every token and secret is concealed, and nothing else', async t => {
  const fields = {
    access_token: 'access-1',
    refresh_token: 'refresh-2',
    client_secret: 'hidden-3',
    client_id: 'public-4',
  }
  const concealer = concealerOf(new Credential(JSON.stringify(fields)))
  const all = Object.values(fields).join(' ')
  t.equal(concealer.text(all), '*** *** *** public-4')
  const bytes = Buffer.from([0xff, ...Buffer.from('access-1'), 0x00])
  t.strictSame([...concealer.bytes(bytes)], [0xff, 42, 42, 42, 0x00], 'all other bytes stay')
  const same = Buffer.from('public')
  t.equal(concealer.bytes(same), same)
  for (const size of [1, 3, 8, 50]) {
    const pieces = concealer.pieces()
    let heard = ''
    for (let at = 0; at < all.length; at += size) heard += pieces.push(Buffer.from(all.slice(at, at + size)))
    t.equal(heard + pieces.end(), '*** *** *** public-4', `in pieces of ${size}`)
  }
})
