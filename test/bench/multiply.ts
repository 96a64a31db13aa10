// Makes many accounts and keys of the few that commands made, in the embedded Postgres of a running daemon.
import path from 'node:path'
import pg from 'pg'
import { USERS } from './site.ts'

/**
 * Every new row is a copy of the first but for what must be unique. New keys have random digests: nobody can present
 * them, they are there to be in the way.
 */
export async function multiply(dataDir: string, size: { accounts: number; keys: number }): Promise<void> {
  const client = new pg.Client({
    host: path.join(dataDir, 'postgres/run'),
    port: 5432,
    user: 'postgres',
    database: 'gw',
    ssl: false,
  })
  await client.connect()
  try {
    // Without triggers: the daemon is started anew anyway, and need not hear of each row before.
    await client.query('set session_replication_role = replica')
    await client.query('begin')
    await copy(client, 'accounts', size.accounts, { name: `'a' || i` })
    await client.query(
      `insert into account_groups (account_id, group_id)
       select a.id, g.id from accounts a, groups g where g.name = 'main' on conflict do nothing`,
    )
    // Ten keys a user: all of them one user's would measure something else.
    await copy(client, 'users', Math.max(USERS, size.keys / 10), { name: `'user' || (i - 1)` })
    await client.query(
      `insert into balances (user_id, balance) select id, 1000000000000000 from users on conflict do nothing`,
    )
    await copy(client, 'api_keys', size.keys, {
      user_id: '(select min(id) from users) + (i - 1) / 10',
      name: `'k' || i`,
      prefix: `'sk-' || substr(md5(i::text), 1, 8)`,
      digest: `decode(md5(random()::text || i) || md5(i || random()::text), 'hex')`,
    })
    await client.query('commit')
    await client.query('analyze')
  } finally {
    await client.end()
  }
}

/** Copies the first row of a table until there are `rows`. The columns are those the checkout's migrations made. */
async function copy(client: pg.Client, table: string, rows: number, instead: Record<string, string>): Promise<void> {
  const { rows: columns } = await client.query<{ name: string }>(
    `select column_name as name from information_schema.columns
     where table_name = $1 and table_schema = 'public' and is_identity = 'NO' and is_generated = 'NEVER'`,
    [table],
  )
  const names = columns.map(({ name }) => name)
  await client.query(
    `insert into ${table} (${names.join(', ')})
     select ${names.map(name => instead[name] ?? `t.${name}`).join(', ')}
     from generate_series((select count(*) from ${table}) + 1, ${rows}) i, (select * from ${table} order by id limit 1) t`,
  )
}
