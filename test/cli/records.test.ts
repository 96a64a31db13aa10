// The nouns an operator sets up, through the command line and into the database.

import t from 'tap'
import { openSecret } from '../../src/lib/secret.ts'
import { freshDatabase } from '../helpers/database.ts'
import { matchAll } from '../helpers/match.ts'
import { each, home } from './gw.ts'

const here = await home(t, { GW_DATABASE_URL: await freshDatabase(t) })
const { gw, json } = here
const { db } = await here.open()
const secret = 'sk-ant-api03-NeverToBeSeenAgain'
const apiKey = await here.file('key.txt', `${secret}\n`)
const oauth = await here.file('oauth.json', '{"access_token": "tok-hidden", "refresh_token": "ref-hidden"}\n')

t.test('a user is added, found, changed and taken away', async t => {
  const added = await json('user add alice --balance 12.5 --email a@example.org')
  t.match(added, {
    id: Number,
    name: 'alice',
    balance: '12.50',
    concurrency: 5,
    status: 'active',
    email: 'a@example.org',
  })
  t.match(added['created_at'], /^\d{4}-\d\d-\d\dT.*Z$/)

  t.match(await json('user show alice'), added)
  t.match(await json(['user', 'show', String(added['id'])]), added, 'by number too')
  matchAll(t, await json('user list'), [{ name: 'alice' }])
  t.match(await json('user set alice --concurrency 0 --status disabled --email none'), {
    concurrency: 0,
    status: 'disabled',
    email: null,
  })
  t.match(await json('user set alice --name alicia --status active'), { name: 'alicia' })

  const table = await gw('user list')
  t.match(table.stdout, /^ID {2}NAME +EMAIL +BALANCE .*\n +\d+ {2}alicia +- +12\.50 +0 +active +\S+/)
  t.equal(table.stderr, '')

  t.match(await gw('user add alicia'), {
    code: 7,
    stdout: '',
    stderr: /^gw: user "alicia" exists already; .*\n$/,
  })
  t.match(await gw('user show alicai'), { code: 6, stdout: '', stderr: /did you mean "alicia"\?/ })
  t.match(await json('user rm alicia --yes'), { name: 'alicia' })
  t.match(await gw('user show alicia'), { code: 6 })
  t.match(await gw('user list'), { code: 0, stdout: '', stderr: /gw user add/ })
  t.same(await json('user list'), [])
})

t.test('an exclusive group says who may have a key of it', async t => {
  const { gw, json } = await home(t, { GW_DATABASE_URL: await freshDatabase(t) })
  await json('group add team --platform anthropic')
  await json('group add vips --platform anthropic --exclusive')
  for (const name of ['ann', 'vito']) await json(`user add ${name}`)
  t.match(await gw('key create --user ann --group vips'), {
    code: 5,
    stderr: 'gw: group "vips" is exclusive and user "ann" was not let in: gw group allow vips ann\n',
  })
  t.strictSame((await json('group allow vips vito ann')).allowed, ['ann', 'vito'])
  t.strictSame((await json('group allow vips ann')).allowed, ['ann', 'vito'], 'once is enough')
  await json('key create --user ann --group vips --name anns')
  await json('key create --user vito --name vitos')
  t.strictSame((await json('group deny vips vito')).allowed, ['ann'])
  t.match((await gw('group show vips')).stdout, /^allowed +ann$/m)
  t.match(await gw('key set vitos --group vips'), { code: 5, stderr: /gw group allow vips vito/ })
  t.match(await gw('group allow vips an'), { code: 6, stderr: /did you mean "ann"\?/ })
  t.match(await gw('group allow team ann'), {
    code: 7,
    stderr: /"team" is for every user; gw group set team --exclusive first/,
  })
  await json('group set vips --billing subscription')
  t.match(await gw('group allow vips vito'), { code: 7, stderr: /gw sub assign --user USER --group vips/ })
})

t.test('a group carries platform, price and limits', async t => {
  const added = await json('group add team --platform anthropic --multiplier 1.5 --daily-limit 20')
  t.match(added, { name: 'team', platform: 'anthropic', multiplier: 1.5, billing: 'balance', daily_limit: '20.00' })
  const changes = '--daily-limit none --monthly-limit 0.000000001 --exclusive --billing subscription'
  t.match(await json(`group set team ${changes}`), {
    daily_limit: null,
    monthly_limit: '0.000000001',
    exclusive: true,
    billing: 'subscription',
  })
  t.match(await json('group set team --no-exclusive --billing balance'), { exclusive: false })
  t.match(await json('group show team'), { name: 'team' })
  t.match((await gw('group list')).stdout, /team +anthropic +1\.5 +balance/)
  t.match(await gw('group add team --platform openai'), { code: 7 })

  t.test('and says what becomes of unknown models, and of clients that leave', async t => {
    t.match(added, { unknown_model: 'reject', on_disconnect: 'stop' })
    const changed = await json([
      ...['group', 'set', 'team'],
      ...['--unknown-model', 'claude-sonnet-4-5', '--on-disconnect', 'drain 90s'],
    ])
    t.match(changed, { unknown_model: 'fallback claude-sonnet-4-5', on_disconnect: 'drain 90s' })
    t.notOk('fallback_model' in changed || 'drain_ms' in changed)
    t.match(
      (await gw('group show team')).stdout,
      /^unknown model +fallback claude-sonnet-4-5\non disconnect +drain 90s$/m,
    )
    const row = db.selectFrom('groups').select(['unknown_model', 'fallback_model', 'drain_ms'])
    t.match(await row.where('name', '=', 'team').executeTakeFirst(), {
      unknown_model: 'fallback',
      fallback_model: 'claude-sonnet-4-5',
      drain_ms: 90_000,
    })
    t.match(await gw('group set team --unknown-model claude-sonet --dry-run'), {
      code: 0,
      stderr: /^warning: "claude-sonet" has no price either/m,
    })
    t.match(await json('group set team --unknown-model free --on-disconnect abort'), {
      unknown_model: 'free',
      on_disconnect: 'abort',
    })
    t.match(
      await json('group set team --multiplier 1.5'),
      { unknown_model: 'free', on_disconnect: 'abort' },
      'and stays',
    )
    t.match(await json('group set team --unknown-model reject --on-disconnect 30s'), {
      unknown_model: 'reject',
      on_disconnect: 'drain 30s',
    })
    t.match(await json('group set team --on-disconnect stop'), { on_disconnect: 'stop' })
    const cases = [
      ['--unknown-model', 'a b', /reject, free, or the name of a model/],
      ['--unknown-model', 'claude-*', /the name of a model/],
      ['--on-disconnect', '11m', /stop, abort, or "drain 30s" with a duration up to 10m/],
      ['--on-disconnect', '0s', /stop, abort, or "drain 30s"/],
      ['--on-disconnect', 'drain', /stop, abort, or "drain 30s"/],
    ] as const
    await each(cases, async ([flag, value, says]) => {
      t.match(await gw(['group', 'set', 'team', flag, value]), { code: 2, stdout: '', stderr: says })
    })
  })
  t.match(await json('group add openai-default --platform openai'), { multiplier: 1 })
})

t.test('an account hides its credential, and keeps it encrypted', async t => {
  const arguments_ = [
    'account',
    'add',
    'main',
    '--platform',
    'anthropic',
    '--group',
    'team',
    '--base-url',
    'https://x.example/a/v1',
  ]
  const added = await gw([
    ...arguments_,
    '--api-key-file',
    apiKey,
    '--map',
    'claude-*=v/claude-*',
    '--map',
    'a=b',
    '--json',
  ])
  matchAll(t, JSON.parse(added.stdout), {
    name: 'main',
    platform: 'anthropic',
    type: 'apikey',
    groups: ['team'],
    concurrency: 3,
    priority: 50,
    status: 'active',
    state: 'available',
    base_url: 'https://x.example/a',
    model_map: { 'claude-*': 'v/claude-*', a: 'b' },
  })
  t.notMatch(added.stdout + added.stderr, secret)

  const row = await db.selectFrom('accounts').selectAll().where('name', '=', 'main').executeTakeFirstOrThrow()
  t.notOk(row.credential.includes(secret))
  const opened = openSecret(`${here.dataDir}/secret.key`)
  t.equal(opened.decrypt(row.credential), secret)

  t.test('which comes from stdin too, and can be replaced by one of its type', async t => {
    const two = await json('account add two --platform openai --api-key-stdin', {
      stdin: ' sk-two \n',
    })
    matchAll(t, two, { groups: ['openai-default'] }, 'without --group it joins the default group')
    await json('account set two --api-key-stdin --map none --group none', { stdin: 'sk-three' })
    const { credential } = await db
      .selectFrom('accounts')
      .select('credential')
      .where('name', '=', 'two')
      .executeTakeFirstOrThrow()
    t.equal(opened.decrypt(credential), 'sk-three')
    t.match(await gw(['account', 'set', 'two', '--oauth-file', oauth]), { code: 2, stderr: /of type apikey/ })
    const three = await json([
      'account',
      'add',
      'three',
      '--platform',
      'anthropic',
      '--group',
      'team',
      '--oauth-file',
      oauth,
    ])
    t.match(three, { type: 'oauth' })
    t.match(await json('account rm three --yes'), { name: 'three' })
  })

  t.test('of platform openai it says which dialect its server speaks', async t => {
    matchAll(t, await json('account show two'), { dialect: 'auto' })
    matchAll(t, await json('account set two --dialect chat'), { dialect: 'chat' })
    t.match((await gw('account list')).stdout, /two +available +openai +chat +apikey/)
    matchAll(t, await json('account set two --dialect responses --concurrency 3'), { dialect: 'responses' })
    t.match(await json('account show main'), { dialect: null })
    t.match(await gw('account set main --dialect chat'), {
      code: 2,
      stderr: /--dialect chat is for accounts of platform openai/,
    })
    t.match(await gw('account set two --dialect claude'), { code: 2, stderr: /one of auto responses chat/ })
    const four = ['account', 'add', 'four', '--api-key-file', apiKey, '--dialect', 'chat', '--platform']
    t.match(await gw([...four, 'gemini']), { code: 2, stderr: /account "four" of gemini speaks its own/ })
    t.match(await json([...four, 'openai']), { dialect: 'chat' })
    t.match(await json('account rm four --yes'), { name: 'four' })
  })

  t.test('which is refused in words that do not repeat it', async t => {
    const add = ['account', 'add', 'bad', '--platform', 'anthropic']
    const several = await here.file('several', `${secret}\n${secret}\n`)
    const cases = [
      [[], /a credential is needed: --api-key-file/],
      [['--api-key-file', apiKey, '--oauth-file', oauth], /one credential only/],
      [['--api-key-file', 'nowhere'], /--api-key-file nowhere cannot be read/],
      [['--api-key-file', several], /one API key and nothing else/],
      [['--api-key-file', await here.file('empty', '\n')], /is empty/],
      [['--oauth-file', apiKey], /is not JSON/],
      [['--oauth-file', await here.file('other.json', '{"token": "tok-hidden"}')], /access_token or refresh_token/],
    ] as const
    await each(cases, async ([flags, says]) => {
      const ran = await gw([...add, ...flags])
      t.match(ran, { code: 2, stdout: '', stderr: says })
      t.notMatch(ran.stderr, /NeverToBeSeen|tok-hidden/)
    })
  })

  t.test('and rests while it is paused', async t => {
    const paused = await json(['account', 'pause', 'main', '--reason', 'invoice open'])
    t.match(paused, { status: 'paused', state: 'paused', reason: 'invoice open' })
    matchAll(t, await json('account list'), [{ name: 'main', state: 'paused' }, { name: 'two' }])
    t.match(
      (await gw('account list')).stdout,
      /main +paused +anthropic +- +apikey +team +-\/3 +- +50 +- +- +- +invoice open/,
    )
    t.match(await json('account resume main'), { status: 'active', state: 'available', reason: null })
    t.match((await gw('account show main')).stdout, /^model map +a=b, claude-\*=v\/claude-\*$/m)
    t.match(await json('account set main --intercept-warmup'), { intercept_warmup: true })
    t.match((await gw('account show main')).stdout, /^intercept warmup +yes$/m)
    t.match(await json('account set main --priority 50'), { intercept_warmup: true }, 'and stays')
    t.match(await json('account set main --no-intercept-warmup'), { intercept_warmup: false })
  })

  t.match(await gw(['account', 'add', 'x', '--platform', 'openai', '--group', 'team', '--api-key-file', apiKey]), {
    code: 2,
    stderr: /of platform anthropic, account "x" of openai/,
  })
  t.match(await gw(['account', 'add', 'x', '--platform', 'openai', '--group', 'taem', '--api-key-file', apiKey]), {
    code: 6,
    stderr: /did you mean "team"/,
  })
})

t.test('a key is printed once', async t => {
  await json('user add bob --balance 1')
  const created = await gw('key create --user bob --group team --models a,b --allow-ip 10.0.0.0/8 --expires 30d')
  t.match(created, { code: 0, stderr: /only time the key is shown/ })
  const [, value = ''] = /^key +(sk-[0-9a-f]{64})$/m.exec(created.stdout) ?? []
  t.ok(value)
  t.match(created.stdout, /^expires +in 30d$/m)

  const shown = await json('key show bob')
  matchAll(t, shown, {
    prefix: value.slice(0, 11),
    user: 'bob',
    group: 'team',
    models: ['a', 'b'],
    allow_ip: ['10.0.0.0/8'],
  })
  t.notOk('key' in shown)
  t.equal((await json(['key', 'show', value.slice(0, 11)]))['id'], shown['id'], 'found by what is shown of it')
  await each([['list'], ['list', '--json'], ['show', 'bob']], async args => {
    t.notMatch((await gw(['key', ...args])).stdout, value)
  })
  const row = await db.selectFrom('api_keys').selectAll().where('name', '=', 'bob').executeTakeFirstOrThrow()
  t.notMatch(JSON.stringify(row), value)

  matchAll(t, await json('key set bob --models none --expires none --group none'), {
    models: [],
    expires_at: null,
    group: null,
  })
  t.match(await json('key set bob --group team --concurrency 2'), { concurrency: 2 })
  t.match(await json('key set bob --concurrency none'), { concurrency: null })
  t.match(await json('key set bob --concurrency 3 --dry-run'), { concurrency: 3 })
  t.match((await gw('key set bob --concurrency 3')).stdout, /^concurrency +3$/m)

  t.test('and has limits of its own', async t => {
    t.match(await json('key show bob'), { quota: null, used: '0.00', rpm: null, tpm: null })
    t.match(await json('key set bob --quota 2.5 --rpm 60 --tpm 1000'), {
      quota: '2.50',
      used: '0.00',
      rpm: 60,
      tpm: 1000,
    })
    t.match(
      (await gw('key list')).stdout,
      /^ID .* USED +QUOTA +CONCURRENCY +RPM +TPM .*\n.* 0\.00 +2\.50 +3 +60 +1000 /,
    )
    t.match((await gw('key show bob')).stdout, /^quota +2\.50$/m)
    t.match(await json('key set bob --rpm none --tpm none'), { quota: '2.50', rpm: null, tpm: null })
    t.match(await json('key create --user bob --name small --quota 0.5 --rpm 1 --tpm 2 --dry-run'), {
      quota: '0.50',
      used: '0.00',
      rpm: 1,
      tpm: 2,
    })
    const cases = [
      ['--quota', '0', /more than 0/],
      ['--rpm', '0', /--rpm must be a whole number of 1 or more/],
      ['--tpm', '1.5', /--tpm must be a whole number/],
    ] as const
    await each(cases, async ([flag, value, says]) => {
      t.match(await gw(['key', 'set', 'bob', flag, value]), { code: 2, stdout: '', stderr: says })
    })
  })

  t.test('and rotates into one with the same settings', async t => {
    await db
      .insertInto('key_usage')
      .values({ key_id: Number(shown['id']), used: 2_000_000_000n })
      .execute()
    const dry = await json('key rotate bob --dry-run')
    t.match(dry, { used: '2.00' })
    const next = await json('key rotate bob --grace 1h')
    matchAll(t, next, {
      name: 'bob',
      user: 'bob',
      group: 'team',
      concurrency: 3,
      allow_ip: ['10.0.0.0/8'],
      key: /^sk-/,
    })
    t.match(next, { quota: '2.50', used: '2.00' }, 'rotating refills no quota')
    matchAll(t, await db.selectFrom('key_usage').selectAll().orderBy('key_id').execute(), [
      { key_id: shown['id'], used: 2_000_000_000n, carried: 0n },
      { key_id: next['id'], used: 2_000_000_000n, carried: 2_000_000_000n },
    ])
    t.not(next['key'], value)
    const old = await json('key show bob-old')
    const left = Date.parse(String(old['expires_at'])) - Date.now()
    t.ok(left > 0 && left <= 3_600_000)
    await json('key rotate bob')
    t.match(await json(['key', 'show', String(next['id'])]), { status: 'revoked' }, 'at once without a grace')
  })

  t.test('and ends for good', async t => {
    t.match(await gw('key revoke bob'), { code: 5, stdout: '', stderr: /add --yes to revoke key "bob"/ })
    t.match(await json('key revoke bob --yes'), { status: 'revoked' })
    t.match(await gw('key rotate bob'), { code: 6 })
    matchAll(
      t,
      (await json<{ name: string }[]>('key list')).map(key => key.name),
      ['bob-old'],
    )
    t.equal((await json<unknown[]>('key list --all')).length, 3)
  })
  t.match(await gw('key create --user bobb'), { code: 6, stderr: /did you mean "bob"/ })
})
