// What each kind of channel is sent, over real sockets: its format, its signature, its limits, and what counts as taken.
import { createHmac } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { type OpenChannel, send } from '../../../src/core/notify/send.ts'
import { signature } from '../../../src/core/notify/webhook.ts'
import { cutBytes, cutLength, plainText } from '../../../src/core/notify/words.ts'
import type { AlertMessage, ChannelType } from '../../../src/db/schema-watch.ts'
import { createGuard } from '../../../src/lib/guard/guard.ts'
import { type Got, mailServer, type Reply, receiver } from '../../helpers/receiver.ts'

const firing: AlertMessage = {
  kind: 'firing',
  rule_id: 3,
  rule: 'errors <b>&',
  severity: 'P1',
  dimension: 'account=a7,platform=openai',
  title: 'P1: errors <b>& (account=a7,platform=openai)',
  description: 'Rule errors triggered: error_rate > 5 (current 12.50) over last 1m',
  metric: 'error_rate',
  op: '>',
  value: 12.5,
  threshold: 5,
  window_minutes: 1,
  fired_at: '2026-11-28T20:00:00.000Z',
  resolved_at: null,
}
const resolved: AlertMessage = { ...firing, kind: 'resolved', value: 0, resolved_at: '2026-11-28T20:09:00.000Z' }
const digest: AlertMessage = { ...firing, kind: 'digest', lines: ['P1 errors firing', 'P1 errors resolved'] }
const key = '00000000-0000-4000-8000-000000000001'
const delivery = { key, event: 42 }
const guard = createGuard({ allowPrivate: true, setting: 'notify.allow_private' })
const smtp = { url: undefined, passwordFile: undefined, from: undefined }

const channelOf = (type: ChannelType, url: string, more: Partial<OpenChannel> = {}): OpenChannel => {
  return { name: 'one', type, url, secret: undefined, recipients: [], ...more }
}
/** Sends it to a receiver that answers `reply`. */
async function sent(t: Test, type: ChannelType, message: AlertMessage, reply: Reply, more: Partial<OpenChannel> = {}) {
  const to = await receiver(t, () => reply)
  await send(channelOf(type, `${to.url}/hook?token=very-secret-token-1`, more), message, delivery, { guard, smtp })
  return to.got[0]!
}
const good: Partial<Record<ChannelType, Reply>> = {
  telegram: { body: '{"ok":true,"result":{}}' },
  feishu: { body: '{"code":0,"msg":"success"}' },
  dingtalk: { body: '{"errcode":0,"errmsg":"ok"}' },
  wecom: { body: '{"errcode":0,"errmsg":"ok"}' },
}
const textOf: Record<string, (got: Got) => string> = {
  slack: ({ json }) => json['text'] as string,
  telegram: ({ json }) => json['text'] as string,
  feishu: ({ json }) => (json['content'] as { text: string }).text,
  dingtalk: ({ json }) => (json['text'] as { content: string }).content,
  wecom: ({ json }) => (json['text'] as { content: string }).content,
}
const extra: Partial<Record<ChannelType, Partial<OpenChannel>>> = {
  telegram: { recipients: ['-100123'], secret: '1234:token-of-bot' },
}

t.test(
  'a webhook has all that §12.8 names, who fired and when it was over, and a signature that can be checked',
  async t => {
    const secret = 'a secret of theirs'
    for (const message of [firing, resolved]) {
      const { headers, body, json } = await sent(t, 'webhook', message, {}, { secret })
      t.strictSame(json, {
        id: key,
        event_id: 42,
        rule_id: 3,
        rule_name: 'errors <b>&',
        severity: 'P1',
        status: message.kind,
        dimension: 'account=a7,platform=openai',
        metric_type: 'error_rate',
        operator: '>',
        metric_value: message.value,
        threshold_value: 5,
        window_minutes: 1,
        fired_at: '2026-11-28T20:00:00.000Z',
        resolved_at: message.resolved_at,
        title: firing.title,
        description: firing.description,
      })
      t.match(headers, { 'content-type': /^application\/json/, 'idempotency-key': key, 'x-gw-timestamp': /^\d{10}$/ })
      t.ok(Math.abs(Number(headers['x-gw-timestamp']) - Date.now() / 1000) < 60)
      const signed = createHmac('sha256', secret).update(`${headers['x-gw-timestamp']}.${body}`).digest('hex')
      t.equal(headers['x-gw-signature'], `v1=${signed}`)
    }
    t.equal(
      (await sent(t, 'webhook', firing, {})).headers['x-gw-signature'],
      undefined,
      'without a secret there is none',
    )
    t.not(signature(secret, '1', 'x'), signature(secret, '2', 'x'), 'the time is signed, too')
  },
)

t.test('chats are told in plain text, in which nothing is markup and nobody is called', async t => {
  const nasty = { ...firing, rule: '<!channel> <at user_id="all">all</at>\r\n*b* & @all' }
  for (const type of ['slack', 'telegram', 'feishu', 'dingtalk', 'wecom'] as const) {
    const text = async (message: AlertMessage) =>
      textOf[type]!(await sent(t, type, message, good[type] ?? {}, extra[type] ?? {}))
    const told = await text(firing)
    for (const words of ['[Ops Alert][P1]', 'is firing', 'Metric: error_rate', 'Current: 12.50', 'a7', '20:00:00'])
      t.ok(told.includes(words), `${type} tells ${words}`)
    t.match(await text(resolved), /is resolved[\s\S]*Status: resolved[\s\S]*Until: 2026-11-28T20:09/)
    t.match(await text(digest), /2 messages were held back[\s\S]*P1 errors firing\nP1 errors resolved/)
    t.match(await text({ ...firing, kind: 'test' }), /\(test\)/)
    t.match(await text({ ...firing, instead: 'mail did not take it: ECONNREFUSED' }), /Told here because mail did not/)
    const escaped = await text(nasty)
    if (type === 'slack') t.match(escaped, /&lt;!channel&gt; .* &amp; @all/)
    if (type === 'slack' || type === 'feishu') t.notMatch(escaped, /[<>]/)
    t.equal(escaped.split('\n')[0]!.endsWith('is firing'), true, 'a line break in a name makes no line')
  }
})

t.test('what is long is cut to what its channel takes, never inside a character', async t => {
  const long = { ...firing, description: '漢😀'.repeat(20_000) }
  const most = { slack: 4000, telegram: 4096 } as const
  for (const type of ['slack', 'telegram'] as const) {
    const text = textOf[type]!(await sent(t, type, long, good[type] ?? {}, extra[type] ?? {}))
    t.ok(text.length <= most[type] && text.length > most[type] - 10)
    t.equal(text.isWellFormed(), true)
  }
  const bytes = { feishu: 20 * 1024, dingtalk: 20_000, wecom: 2048 + 100 } as const
  for (const type of ['feishu', 'dingtalk', 'wecom'] as const) {
    const got = await sent(t, type, long, good[type]!)
    t.ok(Buffer.byteLength(got.body) <= bytes[type], `${type}: the whole body`)
    t.notMatch(textOf[type]!(got), /\ufffd/)
  }
  for (const most of [9, 10, 11, 12, 13]) {
    t.ok(Buffer.byteLength(cutBytes('漢😀漢😀漢', most)) <= most)
    t.notMatch(cutBytes('漢😀漢😀漢', most), /\ufffd/)
    t.ok(cutLength('漢😀漢😀漢😀漢😀', most).isWellFormed())
  }
  t.equal(cutBytes('short', 10), 'short')
})

t.test('Telegram, Feishu and DingTalk are signed in as their vendors say', async t => {
  const telegram = await sent(t, 'telegram', firing, good.telegram!, { ...extra.telegram!, url: undefined })
    .then(() => undefined)
    .catch(error => error)
  t.match(telegram?.message, /the URL/, 'without a URL nobody is told')
  const bot = await receiver(t, () => good.telegram)
  for (const [url, secret] of [
    [bot.url, '1234:token-of-bot'],
    [`${bot.url}/bot1234:token-of-bot`, undefined],
    [`${bot.url}/bot1234:token-of-bot/sendMessage`, undefined],
  ] as const)
    await send(channelOf('telegram', url, { secret, recipients: ['-100123'] }), firing, delivery, { guard, smtp })
  t.strictSame(new Set(bot.got.map(({ path }) => path)), new Set(['/bot1234:token-of-bot/sendMessage']))
  t.equal(bot.got[0]!.json['chat_id'], '-100123')

  const secret = 'SECthis-is-secret'
  const { json } = await sent(t, 'feishu', firing, good.feishu!, { secret })
  const expected = createHmac('sha256', `${json['timestamp']}\n${secret}`).update('').digest('base64')
  t.match(json, { msg_type: 'text', timestamp: /^\d{10}$/, sign: expected })
  t.equal((await sent(t, 'feishu', firing, good.feishu!)).json['sign'], undefined)

  const ding = new URL((await sent(t, 'dingtalk', firing, good.dingtalk!, { secret })).path, 'http://x')
  const at = ding.searchParams.get('timestamp')!
  t.match(at, /^\d{13}$/)
  t.equal(ding.searchParams.get('sign'), createHmac('sha256', secret).update(`${at}\n${secret}`).digest('base64'))
  t.equal(ding.searchParams.get('token'), 'very-secret-token-1', 'what the URL had stays')
})

t.test('an error that comes with status 200 is one, and so is every other status; secrets are not quoted', async t => {
  const cases: [type: ChannelType, reply: Reply, says: RegExp][] = [
    [
      'telegram',
      { body: '{"ok":false,"error_code":400,"description":"Bad Request: chat not found"}' },
      /400 Bad Request: chat/,
    ],
    ['feishu', { body: '{"code":19021,"msg":"sign match fail"}' }, /19021 sign match fail/],
    ['dingtalk', { body: '{"errcode":310000,"errmsg":"sign not match"}' }, /310000 sign not match/],
    ['wecom', { body: '{"errcode":93000,"errmsg":"invalid webhook url"}' }, /93000 invalid webhook url/],
    ['wecom', { body: '<html>' }, /not JSON/],
    ['wecom', { body: '{}' }, /without errcode/],
    ['slack', { status: 404, body: 'no_service' }, /answered 404: no_service/],
    ['webhook', { status: 500, body: '<h1>oops</h1>' }, /^answered 500$/],
    [
      'webhook',
      { status: 302, headers: { location: 'http://127.0.0.1:1/' } },
      /302, a redirect, which is not followed/,
    ],
    [
      'webhook',
      { status: 400, body: 'bad token very-secret-token-1 at /hook?token=very-secret-token-1' },
      /bad token \*\*\*/,
    ],
    // What is cut short must not leave half of a secret behind, which nothing knows as one any more.
    ...[54, 74, 88].flatMap((n): typeof cases => {
      const errmsg = `${'x '.repeat(n)}very-secret-token-1`
      return [
        ['webhook', { status: 400, body: errmsg }, /answered 400: x x/],
        ['wecom', { body: JSON.stringify({ errcode: 1, errmsg }) }, /refused it: 1 x x/],
      ]
    }),
  ]
  for (const [type, reply, says] of cases) {
    const error = await sent(t, type, firing, reply, extra[type] ?? {}).catch(error => error)
    t.match(error?.message, says, `${type} ${JSON.stringify(reply)}`)
    t.notMatch(error?.message, /very-secret/)
  }
  const busy = await sent(t, 'slack', firing, { status: 429, headers: { 'retry-after': '30' } }).catch(error => error)
  t.match(busy, { afterMs: 30_000, definite: false })
  const strict = createGuard({ allowPrivate: false, setting: 'notify.allow_private' })
  const home = channelOf('webhook', 'https://169.254.169.254/latest')
  await t.rejects(send(home, firing, delivery, { guard: strict, smtp }), { message: /link-local/, definite: true })
})

t.test('a mail is told in text and in HTML without a way into its headers, and handed in with a password', async t => {
  const { mails, url } = await mailServer(t, { user: 'gw@host', password: 'smtp pass' })
  const passwordFile = path.join(t.testdir(), 'password')
  writeFileSync(passwordFile, 'smtp pass\n')
  const mail = { url, passwordFile, from: 'gw <gw@example.com>' }
  const to = channelOf('email', '', { url: undefined, recipients: ['ops@example.org', 'boss@example.org'] })
  const nasty = { ...firing, rule: 'x\r\nBcc: evil@example.org\r\n\r\n<script>alert(1)</script> "ünïcode"' }
  t.equal(await send(to, nasty, delivery, { guard, smtp: mail }), undefined)
  const [{ from, to: told, raw }] = mails as [(typeof mails)[number]]
  t.strictSame([from, told], ['gw@example.com', ['ops@example.org', 'boss@example.org']])
  const head = raw.slice(0, raw.indexOf('\r\n\r\n'))
  t.notMatch(head, /^bcc:/im)
  t.match(head, /^Subject: =\?UTF-8\?/m)
  t.match(head, new RegExp(`^Message-ID: <${key}@example\\.com>`, 'm'))
  t.match(head, /^Auto-Submitted: auto-generated/m)
  const plain = raw.replace(/=\r\n/g, '')
  t.match(plain, /Metric: error_rate/)
  t.match(plain, /&lt;script&gt;/)
  t.notMatch(plain.slice(plain.indexOf('text/html')), /<script>/)

  const some = { ...to, recipients: ['ops@example.org', 'nobody@example.org'] }
  t.equal(await send(some, resolved, delivery, { guard, smtp: mail }), 'not taken for nobody@example.org')
  t.match(mails[1]!.raw, /resolved/)
  writeFileSync(passwordFile, 'another password')
  const refused = await send(to, firing, delivery, { guard, smtp: mail }).catch(error => error)
  t.match(refused.message, /EAUTH: 535 wrong password \*\*\*/)
  await t.rejects(send(to, firing, delivery, { guard, smtp: { ...mail, url: undefined } }), {
    message: /smtp\.url is not set/,
  })
  await t.rejects(send(to, firing, delivery, { guard, smtp: { ...mail, url: 'smtp://x@127.0.0.1:1' } }), {
    message: /ECONNREFUSED/,
  })
})

t.test('the words of a message are the same everywhere', async t => {
  t.equal(
    plainText(resolved),
    [
      '[Ops Alert][P1] errors <b>& is resolved',
      firing.description,
      'Rule: errors <b>&',
      'Of: account=a7,platform=openai',
      'Metric: error_rate',
      'Threshold: > 5',
      'Current: 0',
      'Window: 1m',
      'Status: resolved',
      'Since: 2026-11-28T20:00:00.000Z',
      'Until: 2026-11-28T20:09:00.000Z',
    ].join('\n'),
  )
})
