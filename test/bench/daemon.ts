// A gateway for measuring, in a process of its own: real database, every fold on, log as configured by default.
import { chmodSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { loadConfig } from '../../src/config/load.ts'
import { addAccount } from '../../src/core/record/account.ts'
import { addGroup } from '../../src/core/record/group.ts'
import { createKey } from '../../src/core/record/key.ts'
import { addUser } from '../../src/core/record/user.ts'
import { startDaemon, untilStopped } from '../../src/daemon/main.ts'
import { openDatabase } from '../../src/db/connect.ts'
import { createLog } from '../../src/lib/log.ts'
import { openSecret } from '../../src/lib/secret.ts'

const [upstream, accounts = '4'] = process.argv.slice(2)
const folder = mkdtempSync(path.join(tmpdir(), 'gw-bench-'))
chmodSync(folder, 0o755) // as root, Postgres runs as another user and lives below
const config = {
  ...loadConfig({ env: {}, flags: { data_dir: folder } }).config,
  listen: { host: '127.0.0.1', port: 0 },
  'ops.listen': 'off' as const,
}
const database = await openDatabase(config)
const secret = openSecret(config['secret.key_file'])
await addUser(database.db, { name: 'bench', concurrency: 0, balance: 10n ** 18n })
await addGroup(database.db, { name: 'bench', platform: 'anthropic', unknown_model: 'free', drain_ms: 0 })
for (let i = 0; i < Number(accounts); i++)
  await addAccount(database.db, secret, {
    name: `a${i}`,
    platform: 'anthropic',
    type: 'apikey',
    credential: `c${i}`,
    base_url: upstream!,
    concurrency: 64,
    priority: 50,
    groups: ['bench'],
  })
const { key } = await createKey(database.db, secret, { user: 'bench', group: 'bench', valuePrefix: 'sk-' })
const logging = createLog({ level: 'info', format: 'json' })
const daemon = await startDaemon(config, logging)
console.error(`${daemon.url} ${key}`)
await untilStopped(daemon, logging.log)
await database.close()
