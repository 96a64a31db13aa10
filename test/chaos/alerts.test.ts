// End to end: a provider fails, a rule fires once over two nodes, mail and a signed webhook are told of it, and of its end; also when a node is killed while it tells.
import { createHmac } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { addRule } from '../../src/core/alert/rules.ts'
import { addChannel } from '../../src/core/notify/channel.ts'
import { clearAccounts, findAccount } from '../../src/core/record/account.ts'
import { openDatabase } from '../../src/db/connect.ts'
import { openSecret } from '../../src/lib/secret.ts'
import { type Served, setUp } from '../helpers/daemon.ts'
import { hello, until } from '../helpers/gateway.ts'
import { startTwo } from '../helpers/nodes.ts'
import { mailServer, receiver } from '../helpers/receiver.ts'
import { redisMissing } from '../helpers/redis.ts'

const skip = await redisMissing()
const hmac = 'what the receiver knows'

t.test(
  'a provider fails and recovers: told once each, by webhook and mail, whatever becomes of a node',
  { skip },
  async t => {
    let hang = false
    const hook = await receiver(t, () => {
      const silent = hang
      hang = false
      return { silent }
    })
    const { mails, url: smtp } = await mailServer(t, { user: 'gw', password: 'smtp-pass' })
    const passwordFile = path.join(t.testdir(), 'smtp')
    writeFileSync(passwordFile, 'smtp-pass\n')
    const { mock, one, two, dir, env, url } = await startTwo(t, {
      env: {
        GW_OPS_INTERVAL: '1s',
        GW_NOTIFY_ALLOW_PRIVATE: 'true',
        GW_SMTP_URL: smtp,
        GW_SMTP_FROM: 'gw@example.com',
        GW_SMTP_PASSWORD_FILE: passwordFile,
      },
    })
    const key = await setUp(t, one, dir, url, mock)
    await until(t, 'the other hears of the key', async () => (await two.status()).keys === 1)
    const database = await openDatabase({ 'database.url': url, 'database.pool_size': 2 } as never)
    t.teardown(() => database.close())
    const { db } = database
    const secret = openSecret(env.GW_SECRET_KEY_FILE)
    const rules = { allowPrivate: true }
    await addChannel(db, secret, { name: 'hook', type: 'webhook', url: `${hook.url}/x`, secret: hmac }, rules)
    await addChannel(db, secret, { name: 'mail', type: 'email', recipients: ['ops@example.org'] }, rules)
    await db.updateTable('alert_rules').set({ enabled: false }).execute()
    const rule = (name: string, model: string) =>
      addRule(db, {
        name,
        description: '',
        enabled: true,
        metric: 'error_rate',
        op: '>',
        threshold: 50,
        window_minutes: 1,
        sustained: 2,
        cooldown_ms: 600_000,
        severity: 'P1',
        where: { model },
        notify: [],
        fallback: null,
      })
    await rule('first', 'claude-haiku-4-5')
    await rule('second', 'claude-opus-4-5')
    const ask = async (node: Served, model: string) => {
      const reply = await fetch(`${node.url}/v1/messages`, {
        method: 'POST',
        headers: { 'x-api-key': key, 'content-type': 'application/json' },
        body: JSON.stringify(hello({ model })),
        signal: AbortSignal.timeout(60_000),
      })
      await reply.text()
      return reply.status
    }
    const recover = async (nodes: Served[], model: string) => {
      mock.script('*', {})
      await clearAccounts(db, [await findAccount(db, 'a1')])
      for (const node of nodes) await until(t, 'it serves again', async () => (await ask(node, model)) === 200)
    }
    const heard = (rule: string) => hook.got.filter(({ json }) => json['rule_name'] === rule)
    const statuses = (rule: string) => heard(rule).map(({ json }) => json['status'])
    const mailed = (rule: string) => mails.filter(({ raw }) => raw.includes(`[Ops Alert][P1] ${rule} `))

    mock.script('*', { status: 500 })
    for (const node of [one, two, one, two]) t.ok((await ask(node, 'claude-haiku-4-5')) >= 500)
    await until(
      t,
      'both are told that it fires',
      () => heard('first').length === 1 && mailed('first').length === 1,
      60_000,
    )
    const [{ body, headers, json }] = heard('first') as [(typeof hook.got)[number]]
    t.match(json, {
      status: 'firing',
      metric_type: 'error_rate',
      metric_value: 100,
      threshold_value: 50,
      severity: 'P1',
    })
    const signed = createHmac('sha256', hmac).update(`${headers['x-gw-timestamp']}.${body}`).digest('hex')
    t.equal(headers['x-gw-signature'], `v1=${signed}`)
    await recover([one, two], 'claude-haiku-4-5')
    for (let n = 0; n < 50; n++)
      await Promise.all(Array.from({ length: 10 }, (_, i) => ask(i % 2 ? one : two, 'claude-haiku-4-5')))
    await until(
      t,
      'both are told that it is over',
      () => heard('first').length === 2 && mailed('first').length === 2,
      60_000,
    )
    t.strictSame(statuses('first'), ['firing', 'resolved'])
    t.match(mailed('first')[1]!.raw, /^Subject: \[Ops Alert\]\[P1\] first is resolved/m)
    const health = async () =>
      (await (await fetch(`${two.opsUrl}/ops/health`)).json()) as { components: { name: string; lost: number }[] }
    await until(t, 'errors cost the health score nothing any more', async () =>
      (await health()).components.every(({ name, lost }) => !name.includes('error') || lost === 0),
    )

    // Its first notice is under way when a node is killed: this one's, or the other's.
    hang = true
    mock.script('*', { status: 500 })
    for (const node of [one, two, two]) await ask(node, 'claude-opus-4-5')
    await until(t, 'it is being told', () => heard('second').length === 1, 60_000)
    one.kill('SIGKILL')
    await until(t, 'it is told again', () => heard('second').length === 2 && mailed('second').length === 1, 60_000)
    t.equal(new Set(heard('second').map(({ headers }) => headers['idempotency-key'])).size, 1, 'it can be told apart')
    await recover([two], 'claude-opus-4-5')
    for (let n = 0; n < 20; n++) await ask(two, 'claude-opus-4-5')
    await until(t, 'and its end, too', () => heard('second').length === 3 && mailed('second').length === 2, 60_000)
    t.strictSame(statuses('second'), ['firing', 'firing', 'resolved'])
    const events = await db.selectFrom('alert_events').select(['rule', 'status']).orderBy('id').execute()
    t.strictSame(events, [
      { rule: 'first', status: 'resolved' },
      { rule: 'second', status: 'resolved' },
    ])
    const states = await db.selectFrom('alert_deliveries').select('state').execute()
    t.strictSame([...new Set(states.map(({ state }) => state))], ['sent'])
  },
)
