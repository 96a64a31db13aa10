// What others change is heard; and when it cannot be, that is known, told, and asked for instead.
import pg from 'pg'
import t, { type Test } from 'tap'
import { openEars } from '../../src/db/listen.ts'
import { freshDatabase } from '../helpers/database.ts'
import { until } from '../helpers/gateway.ts'
import { outageOf } from '../helpers/outage.ts'

async function ears(t: Test, { beatMs = 100, pooled = false } = {}) {
  const outage = await outageOf(t, await freshDatabase(t))
  outage.deafen(pooled)
  const said: string[] = []
  const heard: (string | undefined)[] = []
  const open = await openEars(
    { connectionString: outage.url, connectionTimeoutMillis: 10_000 },
    { log: (level, line) => said.push(`${level}: ${line}`), beatMs },
  )
  t.teardown(() => open.close())
  await open.hear('news', payload => heard.push(payload))
  const notify = async (payload: string) => {
    const client = new pg.Client({ connectionString: outage.url })
    await client.connect()
    await client.query(`select pg_notify('news', '${payload}')`)
    await client.end()
  }
  return { outage, said, heard, open, notify }
}

t.test('a notification is heard by all who listen', async t => {
  const { open, heard, notify } = await ears(t)
  const other: (string | undefined)[] = []
  await open.hear('news', payload => other.push(payload))
  await notify('one')
  await until(t, 'it is heard', () => heard.includes('one') && other.includes('one'))
  t.equal(open.trouble(), undefined)
})

t.test('after a lost connection everything may have changed', async t => {
  const { outage, open, heard, notify, said } = await ears(t)
  await outage.down()
  await until(t, 'it is told', () => /does not answer/.test(open.trouble() ?? ''))
  await outage.up()
  await until(t, 'that is said', () => heard.includes(''))
  await until(t, 'and all is well', () => open.trouble() === undefined)
  await notify('two')
  await until(t, 'later ones are heard', () => heard.includes('two'))
  t.ok(said.some(line => line.startsWith('warn: lost the connection')))
})

t.test('a Postgres that stands still is told, though no connection was lost', async t => {
  const { outage, open, heard, said } = await ears(t)
  outage.silence()
  await until(t, 'it is told', () => /Postgres does not answer/.test(open.trouble() ?? ''))
  await until(t, 'in the log, once', () => said.filter(line => /does not answer/.test(line)).length === 1)
  t.notOk(heard.includes(undefined), 'nobody is asked who does not answer')
  outage.speak()
  await until(t, 'all is well again', () => open.trouble() === undefined)
  await until(t, 'what was missed is asked for', () => heard.includes(''))
})

t.test('behind a transaction pooler changes are asked for each second, and that is told', async t => {
  const { outage, open, heard, notify } = await ears(t)
  outage.deafen(true)
  await until(t, 'it is told', () => /notifications of Postgres do not arrive/.test(open.trouble() ?? ''))
  await notify('lost')
  await until(t, 'changes are asked for', () => heard.filter(payload => payload === undefined).length >= 2)
  t.notOk(heard.includes('lost'))
  outage.deafen(false)
  await until(t, 'all is well again', () => open.trouble() === undefined)
})

t.test('they are asked for until a first beat has come back, however long that may take', async t => {
  const { outage, open, heard, notify } = await ears(t, { beatMs: 600_000, pooled: true })
  t.equal(open.trouble(), undefined, 'nothing is known to be wrong yet')
  await until(t, 'changes are asked for', () => heard.includes(undefined))
  outage.deafen(false)
  await notify('one')
  await until(t, 'and heard, too, where they can be', () => heard.includes('one'))
})

t.test('a pooler that is started anew is still one, and that is told all the time', async t => {
  const { outage, open, heard, said } = await ears(t)
  outage.deafen(true)
  await until(t, 'it is told', () => /do not arrive/.test(open.trouble() ?? ''))
  await outage.down()
  await until(t, 'it is gone', () => /does not answer/.test(open.trouble() ?? ''))
  await outage.up()
  await until(t, 'it is back', () => heard.includes(''))
  const before = heard.length
  await until(
    t,
    'changes are asked for',
    () => heard.slice(before).filter(payload => payload === undefined).length >= 2,
  )
  t.notOk(
    said.some(line => /arrive again/.test(line)),
    'nobody says that they arrive',
  )
})
