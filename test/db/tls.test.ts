// TLS to Postgres as libpq means it: what each sslmode asks of a server, and what it believes.
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import path from 'node:path'
import tls from 'node:tls'
import pg from 'pg'
import t, { type Test } from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { openDatabase } from '../../src/db/connect.ts'
import { portable, revived } from '../../src/db/server.ts'
import { freshDatabase } from '../helpers/database.ts'
import { localhost } from '../helpers/peer.ts'

const cert = path.join(import.meta.dirname, '../fixtures/localhost.cert.pem')
const key = path.join(import.meta.dirname, '../fixtures/localhost.key.pem')

/** A real Postgres on a port of localhost: its socket answers no SSLRequest, so whoever stands before it does. */
async function postgres(t: Test, encrypts: boolean) {
  const url = await freshDatabase(t)
  const [, name, folder] = /@\/(\w+)\?host=(.+)$/.exec(url)!
  const seen = { encrypted: 0, plain: 0 }
  const server = net.createServer(client => {
    client.on('error', () => {})
    client.once('data', first => {
      const asks = first.length === 8 && first.readInt32BE(4) === 80877103
      if (asks && !encrypts) return void client.write('N')
      if (asks) client.write('S')
      const plain = asks ? new tls.TLSSocket(client, { isServer: true, ...localhost }) : client
      plain.on('error', () => {})
      if (asks) plain.once('secure', () => seen.encrypted++)
      else seen.plain++
      const behind = net.connect(path.join(folder!, '.s.PGSQL.5432'))
      behind.on('error', () => plain.destroy())
      if (!asks) behind.write(first)
      plain.pipe(behind).pipe(plain)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  return { seen, at: (host: string, query: string) => `postgres://gw@${host}:${port}/${name}${query}` }
}

async function connect(url: string): Promise<string> {
  try {
    const { config } = loadConfig({ env: { GW_DATABASE_URL: url }, flags: { data_dir: '/nowhere' } })
    const database = await openDatabase(config, { migrate: false })
    try {
      // As the books' thread is given it.
      const client = new pg.Client(revived(structuredClone(portable(database.connection))))
      await client.connect()
      const { rows } = await client.query<{ n: bigint }>('select 7::int8 as n')
      await client.end()
      return rows[0]!.n === 7n ? 'connected' : 'wrong'
    } finally {
      await database.close()
    }
  } catch (error) {
    return (error as Error).message
  }
}

// The pool's connection, and the thread's.
const encrypted = { encrypted: 2, plain: 0 }
const plain = { encrypted: 0, plain: 2 }
const none = { encrypted: 0, plain: 0 }

t.test('a server that has TLS', async t => {
  const cases: [host: string, query: string, answer: RegExp, seen: typeof none][] = [
    ['localhost', '', /^connected$/, plain],
    ['localhost', '?sslmode=disable', /^connected$/, plain],
    ['localhost', '?sslmode=prefer', /^connected$/, encrypted],
    ['localhost', '?sslmode=require', /^connected$/, encrypted],
    ['127.0.0.1', '?sslmode=require', /^connected$/, encrypted],
    ['localhost', `?sslmode=verify-full`, /self-signed certificate/, none],
    ['localhost', `?sslmode=verify-full&sslrootcert=${cert}`, /^connected$/, encrypted],
    ['127.0.0.1', `?sslmode=verify-full&sslrootcert=${cert}`, /certificate is not for 127\.0\.0\.1/, none],
    ['127.0.0.1', `?sslmode=verify-ca&sslrootcert=${cert}`, /^connected$/, encrypted],
    ['localhost', `?sslmode=verify-full&sslrootcert=/nowhere.pem`, /sslrootcert \/nowhere.pem is not there/, none],
    [
      'localhost',
      `?sslmode=verify-full&sslrootcert=${key}`,
      /sslrootcert \S+localhost\.key\.pem holds no certificate/,
      none,
    ],
  ]
  const { seen, at } = await postgres(t, true)
  for (const [host, query, answer, wanted] of cases) {
    Object.assign(seen, none)
    t.match(await connect(at(host, query)), answer, `${host}${query}`)
    // A handshake that the client broke off may have been finished on this side: what it did not believe does not count.
    if (wanted !== none) t.strictSame({ ...seen }, wanted, `${host}${query}`)
  }
})

t.test('a server without TLS', async t => {
  const { seen, at } = await postgres(t, false)
  const cases: [query: string, answer: RegExp, seen: typeof none][] = [
    ['?sslmode=prefer', /^connected$/, plain],
    ['?sslmode=allow', /^connected$/, plain],
    ['?sslmode=require', /the server has no TLS, and sslmode asks for it/, none],
    [`?sslmode=verify-full&sslrootcert=${cert}`, /the server has no TLS, and sslmode asks for it/, none],
  ]
  for (const [query, answer, wanted] of cases) {
    Object.assign(seen, none)
    t.match(await connect(at('localhost', query)), answer, query)
    t.strictSame({ ...seen }, wanted, query)
  }
})

t.test('a server that lets nobody in without TLS', async t => {
  const words = 'no pg_hba.conf entry for host "127.0.0.1", user "gw", database "gw", no encryption'
  const fields = Buffer.from(`SFATAL\0VFATAL\0C28000\0M${words}\0\0`)
  const server = net.createServer(client => {
    client.on('error', () => {})
    client.once('data', () => {
      const head = Buffer.from('E....')
      head.writeInt32BE(fields.length + 4, 1)
      client.end(Buffer.concat([head, fields]))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  t.match(await connect(`postgres://gw@127.0.0.1:${port}/gw`), /without TLS \(pg_hba\.conf\); write \?sslmode=require/)
})

t.test('words that are mistyped are told', async t => {
  const of = (url: string, key = 'GW_DATABASE_URL') => {
    try {
      loadConfig({ env: { [key]: url }, flags: { data_dir: '/nowhere' } })
      return 'taken'
    } catch (error) {
      return (error as Error).message
    }
  }
  t.match(
    of('postgres://h/db?sslmode=verify_full'),
    /sslmode must be one of .* got "verify_full"; did you mean "verify-full"\?/,
  )
  t.match(of('postgres://h/db?ssl_mode=require'), /unknown parameter "ssl_mode": .*did you mean "sslmode"\?/)
  t.match(of('postgres://h/db?sslmode=verify-ca'), /verify-ca needs sslrootcert=FILE/)
  t.match(of('postgres://h/db?sslcert=/x'), /sslcert and sslkey go together/)
  t.equal(of('postgres://u@/db?host=/run/postgresql&application_name=x'), 'taken')
  t.match(
    of('redis://h:1/0?tls=true', 'GW_REDIS_URL'),
    /unknown parameter "tls": it takes none; TLS is the scheme rediss/,
  )
  t.match(of('redis://h:1?db=3', 'GW_REDIS_URL'), /write the number as the path: redis:\/\/host:6379\/2/)
  t.match(
    of('unix:///run/redis.sock?dbb=1', 'GW_REDIS_URL'),
    /unknown parameter "dbb": it takes db; did you mean "db"\?/,
  )
  t.equal(of('unix:///run/redis.sock?db=1', 'GW_REDIS_URL'), 'taken')
  t.equal(of('redis://a:1,b:2', 'GW_REDIS_URL'), 'taken')
})
