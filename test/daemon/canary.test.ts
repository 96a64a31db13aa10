// §12.12: a secret of its own in every credential, quoted back and put where none belongs; then all that gw writes and tells is searched for them.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { sql } from 'kysely'
import t from 'tap'
import { WebSocket } from 'ws'
import { addRule } from '../../src/core/alert/rules.ts'
import { addChannel, listChannels, type NewChannel } from '../../src/core/notify/channel.ts'
import { addAccount } from '../../src/core/record/account.ts'
import { createKey } from '../../src/core/record/key.ts'
import { addProxy } from '../../src/core/record/proxy.ts'
import { createLog } from '../../src/lib/log.ts'
import { collector } from '../helpers/collector.ts'
import { gateway, hello, until } from '../helpers/gateway.ts'
import { mailServer, receiver } from '../helpers/receiver.ts'
import { redisServer } from '../helpers/redis.ts'

const hex = (text: string) => Buffer.from(text).toString('hex')

// Some look like keys of a vendor, some like nothing at all: those are known by being a credential only.
const secrets: Record<string, string> = {
  'account key': 'sk-ant-api03-c4n4ryAccountKey0000000001',
  'account key without a shape': 'c4n4ry shapeless "quoted" /and+odd 0002',
  'access token': 'c4n4ry-access-token-0003',
  'refresh token': 'c4n4ry-refresh-token-0004',
  'proxy login': 'c4n4ry-proxy-password-0005',
  'ops token': 'c4n4ry-ops-token-0006',
  'unknown client key': 'sk-c4n4ryUnknownClientKey000000000007',
  'key of another vendor': 'AIzac4n4ryOfAnotherVendor0000000008',
  'smtp password': 'c4n4ry-smtp-password-0009',
  'path of a hook': 'c4n4ry-path-of-a-hook-0010',
  'query of a hook': 'c4n4ry-query-of-a-hook-0011',
  'what signs': 'c4n4ry-what "signs"-0012',
  "a bot's token": '123456789:c4n4ry-token-of-a-bot-000000000013',
}
const key = (name: string) => secrets[name]!

t.test('no credential is in anything that gw writes or tells', async t => {
  const lines: string[] = []
  const { log } = createLog({ level: 'trace', format: 'json', out: { write: line => void lines.push(line) } })
  const redis = await redisServer(t)
  const otel = await collector(t)
  const mail = await mailServer(t, { user: 'gw', password: 'another' })
  const passwordFile = path.join(t.testdir(), 'smtp.password')
  writeFileSync(passwordFile, key('smtp password'))
  const gw = await gateway(t, {
    log,
    accounts: [{ name: 'plain', models: { quiet: 'quiet' } }],
    config: {
      'redis.url': redis.url,
      'ops.token': key('ops token'),
      'ops.interval': 1000,
      'otel.endpoint': otel.url,
      'smtp.url': mail.url,
      'smtp.password_file': passwordFile,
      'smtp.from': 'gw@example.com',
      'notify.allow_private': true,
    },
  })
  const { db } = gw.database
  await addProxy(db, gw.secret, { name: 'egress', url: `http://gw:${key('proxy login')}@127.0.0.1:1` })
  const account = { platform: 'anthropic', concurrency: 0, base_url: gw.mock.url } as const
  const only = (model: string) => ({ model_map: { [model]: model } })
  const credentials: [string, string, 'apikey' | 'oauth'][] = [
    ['shaped', key('account key'), 'apikey'],
    ['shapeless', key('account key without a shape'), 'apikey'],
    ['signed-in', JSON.stringify({ access_token: key('access token'), refresh_token: key('refresh token') }), 'oauth'],
  ]
  for (const [name, credential, type] of credentials)
    await addAccount(db, gw.secret, {
      ...account,
      groups: ['main'],
      ...only(name),
      name,
      credential,
      type,
      priority: 50,
    })
  await addAccount(db, gw.secret, {
    ...account,
    groups: ['main'],
    ...only('far'),
    name: 'far',
    credential: key('account key'),
    type: 'apikey',
    priority: 50,
    proxy: 'egress',
  })
  const { key: client } = await createKey(db, gw.secret, {
    user: 'alice',
    group: 'main',
    name: 'canary',
    valuePrefix: 'sk-',
  })
  secrets['client key'] = client
  await gw.inForce()

  // Who is told of alerts refuses, and says what it was told with.
  const hook = await receiver(t, (_n, { path }) => ({
    status: 400,
    body: path.includes('unsigned')
      ? `${path} ${decodeURIComponent(path)}`
      : `${key('what signs')} ${JSON.stringify([key('what signs'), path])}`,
  }))
  const url = `${hook.url}/${key('path of a hook')}?to=${key('query of a hook')}`
  const channels: NewChannel[] = [
    { name: 'hook', type: 'webhook', url, secret: key('what signs') },
    { name: 'chat', type: 'slack', url: `${url}&unsigned` },
    { name: 'signed-chat', type: 'feishu', url, secret: key('what signs') },
    {
      name: 'bot',
      type: 'telegram',
      url: `${hook.url}/unsigned`,
      secret: key("a bot's token"),
      recipients: ['@canary'],
    },
    { name: 'mail', type: 'email', recipients: ['ops@example.org'] },
  ]
  for (const channel of channels) await addChannel(db, gw.secret, channel, { allowPrivate: true })
  await db.updateTable('alert_rules').set({ enabled: false }).execute()
  await addRule(db, {
    ...{ name: 'canary', description: '', enabled: true, severity: 'P1', cooldown_ms: 600_000 },
    ...{ metric: 'error_rate', op: '>', threshold: 0, window_minutes: 1, sustained: 1 },
    ...{ where: {}, notify: [], fallback: null },
  })

  // An upstream that says what it was sent, in every way in which it may.
  const quoting = (secret: string) =>
    `bad credential ${secret} in https://x.example/?key=${encodeURIComponent(secret)} and {"token":${JSON.stringify(secret)}}`
  const ids: string[] = []
  const ask = async (model: string, more: object = {}, options: Parameters<typeof gw.send>[1] = {}) => {
    const response = await gw.send(hello({ model, ...more }), { key: client, ...options })
    ids.push(response.headers.get('x-request-id')!)
    const text = await response.text()
    return [...response.headers.values(), text].join('\n')
  }
  const answers: string[] = []
  for (const [name, credential, type] of credentials) {
    const sent = type === 'oauth' ? key('access token') : credential
    for (const [status, where] of [
      [529, {}],
      [401, {}],
      [400, {}],
      [500, { headers: { 'request-id': sent } }],
      [429, { error: { type: sent, message: quoting(sent) } }],
      [200, { error: { type: 'overloaded_error', message: quoting(sent) }, errorAt: 2 }],
      [200, { error: { type: 'invalid_request_error', message: quoting(sent) }, errorAt: 0 }],
      [502, { body: `<html><title>${sent}</title>${quoting(sent)}</html>` }],
    ] as const) {
      gw.mock.script(sent, { status, error: { message: quoting(sent) }, ...where })
      answers.push(await ask(name, { stream: 'errorAt' in where }))
      // Whoever refused for its own sake is out for a while.
      if (status !== 400 && status !== 200) await gw.heal()
    }
  }
  answers.push(await ask('far'))
  answers.push(await ask('quiet'))
  // Keys where none belongs, and keys that are none of ours.
  for (const secret of [client, key('unknown client key'), key('key of another vendor')]) {
    await ask(secret)
    await ask('quiet', {}, { path: `/v1/messages?key=${secret}` })
    await ask('quiet', {}, { path: `/v1/${secret}/messages` })
    await ask('quiet', {}, { path: `/v1beta/models/${secret}:generateContent` })
    await ask('quiet', {}, { path: `/v1beta/models/x:generateContent?alt=sse&api_key=${encodeURIComponent(secret)}` })
    await ask('quiet', {}, { key: secret, headers: { cookie: `session=${secret}`, authorization: `Bearer ${secret}` } })
    await ask('quiet', { metadata: { user_id: secret } })
  }
  answers.push(await ask('no-such-model'))

  // ---- everything that is written or told ----
  const ops = gw.daemon.opsUrl!
  const authorized = { authorization: `Bearer ${key('ops token')}` }
  const told = async (path: string, headers: Record<string, string> = authorized) =>
    (await fetch(ops + path, { headers })).text()
  const errors = async () => JSON.parse(await told('/ops/errors?limit=1000')).rows as { account: string | null }[]
  await until(t, 'the error log has them', async () => (await errors()).length >= 24)
  await until(t, 'each channel refused the alert', async () => {
    const { rows } = await sql<{ channel: number }>`
      select distinct channel_id as channel from alert_deliveries where error is not null`.execute(db)
    return rows.length === 5
  })
  await until(t, 'traces and metrics are sent', () =>
    ['gw.account', 'shapeless', 'gen_ai.client.operation.duration'].every(mark =>
      otel.raw.some(sent => sent.includes(mark)),
    ),
  )
  await told(`/ops/nothing?token=${key('ops token')}`)
  await told('/ops/overview', { authorization: `Bearer ${key('unknown client key')}` })
  const frame = await new Promise<string>((resolve, reject) => {
    const socket = new WebSocket(`${ops.replace('http', 'ws')}/ops/ws?token=${key('ops token')}`)
    let seen = ''
    socket.on('message', data => {
      seen += String(data)
      if (seen.includes('shapeless')) {
        socket.close()
        resolve(seen)
      }
    })
    socket.on('error', reject)
  })
  const haystacks: Record<string, string> = {
    'the log': lines.join(''),
    '/metrics': await told('/metrics'),
    'a frame of /ops/ws': frame,
    'answers to clients': answers.join('\n'),
  }
  for (const name of [
    'overview',
    'history',
    'errors?limit=1000',
    'errors?by=message',
    'providers',
    'latency',
    'health',
    'alerts',
  ])
    haystacks[`/ops/${name}`] = await told(`/ops/${name}`)
  for (const by of ['account', 'model', 'user', 'key', 'path'])
    haystacks[`/ops/dimensions?by=${by}`] = await told(`/ops/dimensions?by=${by}`)
  haystacks['/ops/explain'] = (await Promise.all(ids.map(id => told(`/ops/explain/${id}`)))).join('\n')
  haystacks['what OpenTelemetry sends'] = otel.raw.join('\n')
  haystacks['what channels are told'] = hook.got.map(({ body }) => body).join('\n')
  haystacks['gw alert channel list'] = JSON.stringify(await listChannels(db, gw.secret))
  haystacks['files'] = filesBelow(gw.config['data_dir'])
  haystacks['Redis'] = await redisDump(redis.client())
  haystacks['the database'] = await databaseDump(db)

  // Each has what it is about: an empty one would have no secrets either.
  const marks: Record<string, string> = {
    'the log': 'shapeless',
    '/metrics': 'gw_requests_total',
    'a frame of /ops/ws': 'shapeless',
    'answers to clients': '***',
    '/ops/errors?limit=1000': 'bad credential ***',
    '/ops/explain': 'shapeless',
    files: 'shapeless',
    'the database': 'bad credential ***',
    'what OpenTelemetry sends': 'shapeless',
    'what channels are told': 'canary',
    'gw alert channel list': 'answered 400',
    '/ops/alerts': 'wrong password ***',
    Redis: 'gw',
  }
  for (const [where, mark] of Object.entries(marks)) t.ok(haystacks[where]!.includes(mark), `${where} has ${mark}`)
  for (const [where, text] of Object.entries(haystacks))
    for (const [what, secret] of Object.entries(secrets)) t.strictSame(found(text, secret), [], `${where}: no ${what}`)
  // And what is there is found.
  await sql`update users set email = ${`${key('account key')}@example.org`} where name = 'alice'`.execute(db)
  t.not(found(await databaseDump(db), key('account key')).length, 0, 'a secret in the database would be found')
})

/** Where a secret stands in a text, in any of its forms, with what is around it. */
function found(text: string, secret: string): string[] {
  // Its beginning alone is one too many, however the rest is escaped.
  const forms = new Set([
    /c4n4ry[a-z-]*/i.exec(secret)?.[0] ?? secret,
    secret,
    JSON.stringify(secret).slice(1, -1),
    encodeURIComponent(secret),
    hex(secret),
    // Behind whatever it follows, as in Basic.
    ...[0, 1, 2].map(before => {
      const bytes = Buffer.concat([Buffer.alloc(before), Buffer.from(secret)])
      return bytes.toString('base64').slice(before === 0 ? 0 : 4, -4)
    }),
  ])
  return [...forms].flatMap(form => {
    const at = text.indexOf(form)
    return at === -1 ? [] : [text.slice(Math.max(0, at - 80), at + form.length + 20)]
  })
}

function filesBelow(folder: string): string {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(file => file.isFile())
    .map(file => readFileSync(path.join(file.parentPath, file.name), 'latin1'))
    .join('\n')
}

async function redisDump(client: ReturnType<Awaited<ReturnType<typeof redisServer>>['client']>): Promise<string> {
  const all: string[] = []
  for (const key of await client.keys('*')) {
    const type = await client.type(key)
    const value =
      type === 'hash'
        ? await client.hgetall(key)
        : type === 'zset'
          ? await client.zrange(key, '0', '-1')
          : type === 'set'
            ? await client.smembers(key)
            : type === 'list'
              ? await client.lrange(key, 0, -1)
              : type === 'string'
                ? await client.get(key)
                : type
    all.push(`${key} ${JSON.stringify(value)}`)
  }
  return all.join('\n')
}

/** Every row of every table, as COPY would have it. */
async function databaseDump(db: Parameters<typeof addAccount>[0]): Promise<string> {
  const tables = await sql<{ name: string }>`
    select format('%I', c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and not c.relispartition and n.nspname = 'public'`.execute(db)
  const all: string[] = []
  for (const { name } of tables.rows) {
    const { rows } = await sql<{ row: string }>`select t::text as row from ${sql.raw(name)} t`.execute(db)
    all.push(...rows.map(({ row }) => row))
  }
  return all.join('\n')
}
