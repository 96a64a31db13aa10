// A database knows the key that its secrets were made with, and nobody goes on with another.
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t, { type Test } from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { isKnown, openKnownSecret } from '../../src/core/known-secret.ts'
import { addProxy } from '../../src/core/record/proxy.ts'
import { openDatabase } from '../../src/db/connect.ts'
import { openSecret } from '../../src/lib/secret.ts'
import { home } from '../cli/gw.ts'
import { freshDatabase } from '../helpers/database.ts'

async function fresh(t: Test) {
  const folder = mkdtempSync(path.join(tmpdir(), 'gw-secret-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const { config } = loadConfig({ env: { GW_DATABASE_URL: await freshDatabase(t) }, flags: { data_dir: folder } })
  const database = await openDatabase(config)
  t.teardown(() => database.close())
  return { db: database.db, file: path.join(folder, 'secret.key'), other: path.join(folder, 'other.key') }
}

t.test('the first key is the key of the database, for all who come after', async t => {
  const { db, file, other } = await fresh(t)
  t.notOk(await isKnown(db))
  const [one, two] = await Promise.all([openKnownSecret(db, file), openKnownSecret(db, file)])
  t.equal(one.fingerprint, two.fingerprint)
  t.ok(await isKnown(db))
  t.equal((await openKnownSecret(db, file)).decrypt(one.encrypt('x')), 'x')
  writeFileSync(other, randomBytes(32).toString('hex'))
  await t.rejects(openKnownSecret(db, other), {
    kind: 'config',
    message: /other\.key holds another key .* restore that file/,
  })
  const gone = `${other}.gone`
  await t.rejects(openKnownSecret(db, gone), { kind: 'config', message: /gone does not exist, and client keys/ })
  t.notOk(existsSync(gone), 'no new key is made where the old one is missing')
})

t.test('of two first starts with keys of their own one is refused', async t => {
  const { db, file, other } = await fresh(t)
  const results = await Promise.allSettled([openKnownSecret(db, file), openKnownSecret(db, other)])
  t.strictSame(results.map(r => r.status).sort(), ['fulfilled', 'rejected'])
})

t.test('a database older than fingerprints is known by what it has stored', async t => {
  const { db, file, other } = await fresh(t)
  await addProxy(db, openSecret(file), { name: 'p', url: 'http://u:p@h:1' })
  await t.rejects(openKnownSecret(db, other), { kind: 'config', message: /does not exist/ })
  openSecret(other)
  await t.rejects(openKnownSecret(db, other), { kind: 'config', message: /holds another key/ })
  const { fingerprint } = await openKnownSecret(db, file)
  await db.deleteFrom('proxies').execute()
  t.equal((await openKnownSecret(db, file)).fingerprint, fingerprint)
  await t.rejects(openKnownSecret(db, other), { message: /holds another key/ }, 'from then on by all of it')
})

t.test('commands and the daemon refuse another key, and say which file', async t => {
  const here = await home(t, { GW_DATABASE_URL: await freshDatabase(t) })
  await here.json('group add main --platform anthropic --json')
  await here.json('user add alice --json')
  await here.json('key create --user alice --group main --json')
  const file = path.join(here.dataDir, 'secret.key')
  writeFileSync(file, randomBytes(32).toString('hex'))
  for (const line of ['key create --user alice --group main', 'serve']) {
    const { code, stderr } = await here.gw(line)
    t.equal(code, 3, line)
    t.match(stderr, /^gw: secret\.key_file .*secret\.key holds another key/, line)
  }
})
