// A credential is shown to its upstream and to nobody else: nothing that holds an account can be made to say it.
import { Writable } from 'node:stream'
import { format, inspect } from 'node:util'
import { deserialize, serialize } from 'node:v8'
import pino from 'pino'
import t from 'tap'
import { Credential } from '../../src/core/credential.ts'
import type { Outcome } from '../../src/core/outcome.ts'
import { loadAccount } from '../../src/core/read-snapshot.ts'
import { credentialOf } from '../../src/core/snapshot.ts'
import { createLog } from '../../src/lib/log.ts'
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
    'account of a probe': await loadAccount(gw.database.db, gw.secret, {
      ...(await gw.database.db.selectFrom('accounts').selectAll().executeTakeFirstOrThrow()),
      groups: ['main'],
    }),
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
