// Channels through the command line: kept without their secrets in sight, tried for real, and not taken away from under rules.
import t from 'tap'
import { openSecret } from '../../src/lib/secret.ts'
import { freshDatabase } from '../helpers/database.ts'
import { mailServer, receiver } from '../helpers/receiver.ts'
import { home } from './gw.ts'

const here = await home(t, { GW_DATABASE_URL: await freshDatabase(t), GW_NOTIFY_ALLOW_PRIVATE: 'true' })
const { gw, json } = here
const { db } = await here.open()
const hidden = 'never-to-be-seen'
const signs = await here.file('hmac.txt', `${hidden}-hmac\n`)
const bot = await here.file('bot.txt', `1234:${hidden}`)

t.test('a channel is added, found, changed and taken away; its URL and secret are never shown', async t => {
  const runs = [
    await gw('alert channel add mail --type email --to ops@example.org,boss@example.org --json'),
    await gw(`alert channel add pager --type webhook --url - --secret-file ${signs} --min-severity P1 --json`, {
      stdin: `http://127.0.0.1:9/${hidden}\n`,
    }),
    await gw(`alert channel add chat --type telegram --to -100123 --secret-file ${bot} --json`),
    await gw(`alert channel add slack --type slack --url http://127.0.0.1:9/services/${hidden} --json`),
    await gw('alert channel list'),
    await gw('alert channel list --json'),
    await gw('alert channel show pager'),
    await gw('alert channel set pager --min-severity P0 --json'),
  ]
  for (const { code, stdout, stderr } of runs) {
    t.equal(code, 0, stderr)
    t.notMatch(stdout + stderr, new RegExp(hidden))
  }
  t.match(JSON.parse(runs[0]!.stdout), { type: 'email', url: null, secret: false, min_severity: 'P3', enabled: true })
  t.match(JSON.parse(runs[1]!.stdout), { url: 'http://127.0.0.1:9/…', secret: true, min_severity: 'P1' })
  t.match(JSON.parse(runs[2]!.stdout), { url: 'https://api.telegram.org/…', secret: true })
  t.match(runs[3]!.stderr, /seen by ps/)
  const { url, secret } = await db
    .selectFrom('alert_channels')
    .select(['url', 'secret'])
    .where('name', '=', 'pager')
    .executeTakeFirstOrThrow()
  t.notMatch(url!.toString('latin1') + secret!.toString('latin1'), /127|never/, 'at rest they are encrypted')
  const key = openSecret(`${here.dataDir}/secret.key`)
  t.strictSame([key.decrypt(url!), key.decrypt(secret!)], [`http://127.0.0.1:9/${hidden}`, `${hidden}-hmac`])
  t.match(await json('alert channel set pager --secret-file none --disable'), { secret: false, enabled: false })
  t.match(
    await json('alert channel set slack --disable', { env: { GW_NOTIFY_ALLOW_PRIVATE: 'false' } }),
    { enabled: false },
    'though its URL would be refused by now',
  )
  t.match(await json('alert channel rm slack --yes'), { name: 'slack' })
  t.match(await gw('alert channel show slack'), { code: 6 })
})

t.test('what a type has not, lacks or cannot use is refused with what would be', async t => {
  const url = 'http://127.0.0.1:9/x'
  const cases: [line: string, says: RegExp][] = [
    ['--type email', /needs --to ADDRESS/],
    [`--type email --to a@b --url ${url}`, /has no URL: mail is handed in at smtp\.url/],
    ['--type email --to nonsense', /--to must be an address such as/],
    ['--type webhook', /needs --url URL/],
    [`--type webhook --url ${url} --to a@b`, /has no --to/],
    [`--type wecom --url ${url} --secret-file ${signs}`, /has nothing to sign with a secret/],
    [
      `--type webhook --url ${url} --secret-file ${await here.file('short', 'abc')}`,
      /a secret of 8 characters or more/,
    ],
    [`--type webhook --url ${url} --secret-file ${await here.file('empty', '\n')}`, /must hold one secret on one line/],
    ['--type telegram --to -1', /needs its bot's token/],
    [`--type telegram --secret-file ${bot}`, /needs one chat/],
    [`--type telegram --to nonsense --secret-file ${bot}`, /a chat's number such as/],
    ['--type slak --url x', /did you mean "slack"/],
    ['--type webhook --url http://user:word@127.0.0.1', /its URL carries a user or password/],
    ['--type webhook --url http://169.254.169.254/x', /which is link-local, where clouds keep their metadata/],
  ]
  for (const [line, says] of cases) {
    const ran = await gw(`alert channel add new ${line}`)
    t.equal(ran.code, 2, line)
    t.match(ran.stderr, says)
  }
  const env = { GW_NOTIFY_ALLOW_PRIVATE: 'false' }
  for (const url of ['http://93.184.216.34', 'https://127.0.0.1', 'https://localhost', 'https://0x7f.1'])
    t.match(await gw(`alert channel add new --type webhook --url ${url}`, { env }), {
      code: 2,
      stderr: /notify\.allow_private is false/,
    })
  t.match(await gw(`alert channel add pager --type webhook --url ${url}`), { code: 7 })
  t.match(await gw('alert channel set pager'), { code: 2, stderr: /nothing to change/ })
})

t.test(
  'a channel that rules name is not taken away, and they go on naming it when it is called something else',
  async t => {
    await gw('alert rule add errors --metric error_rate --op > --threshold 5 --notify pager --fallback chat')
    t.match(await gw('alert channel rm pager --yes'), { code: 7, stderr: /is named by errors; change them first/ })
    t.match(await gw('alert channel rm chat --yes'), { code: 7 })
    await json('alert channel set pager --name duty')
    await json('alert channel set chat --name group')
    const { notify, fallback } = await json('alert rule show errors')
    t.strictSame([notify, fallback], [['duty'], 'group'])
  },
)

t.test('a test tells one message at once and says what came of it', async t => {
  const to = await receiver(t, n => (n === 0 ? undefined : { status: 404, body: `no hook ${hidden}` }))
  await json(`alert channel add hook --type webhook --url ${to.url}/${hidden} --secret-file ${signs}`)
  t.match(await json('alert channel test hook'), { channel: 'hook', type: 'webhook', ok: true, duration_ms: Number })
  t.match(to.got[0]!.json, { status: 'test', rule_name: 'channel hook', severity: 'P3' })
  t.match(to.got[0]!.headers['x-gw-signature'], /^v1=[0-9a-f]{64}$/)
  const failed = await gw('alert channel test hook --json')
  t.equal(failed.code, 1)
  t.match(JSON.parse(failed.stdout), { ok: false, reason: 'answered 404: no hook ***' })
  t.match(await gw('alert channel test mail'), { code: 1, stderr: /smtp\.url is not set/ })

  const { mails, url } = await mailServer(t, { user: 'gw', password: 'pass word' })
  const env = {
    GW_SMTP_URL: url,
    GW_SMTP_FROM: 'gw@example.com',
    GW_SMTP_PASSWORD_FILE: await here.file('smtp.txt', 'pass word\n'),
  }
  t.match(await json('alert channel test mail', { env }), { ok: true })
  t.strictSame(mails[0]!.to, ['ops@example.org', 'boss@example.org'])
  t.match(mails[0]!.raw, /^Subject: \[Ops Alert\]\[P3\] channel mail \(test\)/m)
})
