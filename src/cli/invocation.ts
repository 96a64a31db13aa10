// Lends one command what it uses: output, configuration, database, secret; opened when first asked for, closed at its end.
import { existsSync } from 'node:fs'
import type { Loaded } from '../config/load.ts'
import type { Database, Db } from '../db/connect.ts'
import { Refusal } from '../lib/refusal.ts'
import type { Secret } from '../lib/secret.ts'
import { within } from '../lib/within.ts'
import type { Invocation } from './command.ts'
import type { Format } from './format.ts'
import { createOutput } from './output.ts'
import type { Shell } from './shell.ts'

/** Options that every command takes; `dryRun` and `yes` only where a command declares them. */
export interface Globals {
  config?: string
  dataDir?: string
  json?: boolean
  color?: boolean
  debug?: boolean
  dryRun?: boolean
  yes?: boolean
  /** of lists; elsewhere it may name a file */
  output?: { format: Format } | string
  columns?: string[]
  headers?: boolean
}

// Together the longest that a command is kept waiting by a database that does not answer.
const LOOK_MS = 2_000
const ANSWER_MS = 8_000
// Of a database that somebody else runs, what somebody who pressed Ctrl-C waits for.
const HURRY_MS = 200

class DryRun extends Error {}

export interface OpenInvocation extends Invocation {
  /** Never fulfilled; rejects when the database has stopped answering. */
  deaf: Promise<never>
  /** Gives back what was opened; `hurry`: without waiting for a server of somebody else's. */
  close(hurry?: boolean): Promise<void>
}

export function openInvocation(
  globals: Globals,
  shell: Shell,
  signals: Pick<Invocation, 'ownSignals'>,
): OpenInvocation {
  const color = globals.color ?? true
  const out = createOutput({ ...look(globals), color, shell })
  const dryRun = globals.dryRun ?? false
  let loaded: Promise<Loaded> | undefined
  let opened: Promise<Database> | undefined
  // Connections that end with us are not lost.
  let closing = false

  const deaf = Promise.withResolvers<never>()
  deaf.promise.catch(() => {})
  let signed: ((tx: Db) => Promise<void>) | undefined
  let watching: NodeJS.Timeout | undefined
  // A query may take its time; a server that stands still takes all of it.
  const watch = ({ connection }: Database) => {
    let asking = false
    watching = setInterval(async () => {
      if (asking) return
      asking = true
      const { ping } = await import('../db/connect.ts')
      await ping(connection, ANSWER_MS).catch((error: Error) =>
        deaf.reject(
          new Refusal('unreachable', `the database has stopped answering: ${error.message}`, { cause: error }),
        ),
      )
      asking = false
    }, LOOK_MS).unref()
  }

  const gw: OpenInvocation = {
    ...signals,
    shell,
    out,
    dryRun,
    color,
    loadOptions: (flags = {}) => ({
      file: globals.config,
      flags: { data_dir: globals.dataDir, ...flags },
      env: shell.env,
      cwd: shell.cwd(),
    }),
    load: () => (loaded ??= import('../config/load.ts').then(({ loadConfig }) => loadConfig(gw.loadOptions()))),
    config: async () => (await gw.load()).config,
    async socket(quiet = false) {
      const { loadSocket } = await import('../config/load.ts')
      const { socket, problems } = loadSocket(gw.loadOptions())
      // Where nobody answers the mistakes are what there is to say.
      if (problems.length > 0 && !(await isThere(socket))) throw new Refusal('config', problems.join('\n'))
      if (!quiet) for (const problem of problems) out.note(problem)
      return socket
    },

    database(options) {
      opened ??= (async () => {
        const config = await gw.config()
        const { openDatabase } = await import('../db/connect.ts')
        const database = await openDatabase(config, {
          ...options,
          log: line => closing || out.note(line),
        })
        if (database.origin === 'created') out.note(`created the embedded database in ${config['data_dir']}`)
        watch(database)
        return database
      })()
      return opened
    },
    db: async () => (await gw.database()).db,

    async secret() {
      const file = (await gw.config())['secret.key_file']
      const [db, { isKnown, openKnownSecret }] = await Promise.all([gw.db(), import('../core/known-secret.ts')])
      if (existsSync(file) || (await isKnown(db))) return openKnownSecret(db, file)
      // The file is made when something is written with it, by a command that goes through.
      const { draftSecret } = await import('../lib/secret.ts')
      const draft = draftSecret(file)
      let used = false
      const use = (): Secret => {
        used = true
        return draft
      }
      signed = async tx => {
        if (!used) return
        draft.keep()
        used = false
        // What is written with it says whose it is.
        await openKnownSecret(tx, file)
      }
      return {
        encrypt: plain => use().encrypt(plain),
        decrypt: sealed => draft.decrypt(sealed),
        digest: key => use().digest(key),
        fingerprint: draft.fingerprint,
      }
    },

    async write(work) {
      const { db } = await gw.database()
      let result: Awaited<ReturnType<typeof work>> | undefined
      try {
        return await db.transaction().execute(async tx => {
          result = await work(tx)
          if (dryRun) throw new DryRun()
          await signed?.(tx)
          return result
        })
      } catch (error) {
        if (!(error instanceof DryRun)) throw error
        out.note('dry run: nothing changed')
        return result!
      }
    },

    async confirm(deed) {
      if (globals.yes || dryRun) return
      if (!shell.stdin.isTTY || !shell.stderr.isTTY)
        throw new Refusal('refused', `there is no terminal to ask on; add --yes to ${deed}`)
      if (!(await ask(shell, `${deed[0]!.toUpperCase()}${deed.slice(1)}?`)))
        throw new Refusal('refused', 'nothing changed')
    },

    deaf: deaf.promise,
    async close(hurry = false) {
      closing = true
      clearInterval(watching)
      // A database that is still being opened is waited for: an embedded server may be on its way up.
      const end = opened?.then(
        database => database.close(),
        () => {},
      )
      const theirs = hurry && opened && (await gw.config())['database.url'] !== undefined
      await (theirs ? within(HURRY_MS, end!).catch(() => {}) : end)
    },
  }
  return gw
}

/** How what is printed looks. @throws Refusal `usage` when options contradict one another */
function look({ json = false, output, columns, headers = true }: Globals) {
  const asked = typeof output === 'object' ? output.format : undefined
  if (json && asked !== undefined && asked !== 'json')
    throw new Refusal('usage', `--json and -o ${asked} exclude each other; give one of them`)
  const format = asked ?? (json ? 'json' : 'table')
  if (columns && /^(yaml|json|name)$/.test(format))
    throw new Refusal('usage', `--columns goes with -o table, wide and csv; ${format} has no columns`)
  return { format, columns, headers }
}

async function ask(shell: Shell, question: string): Promise<boolean> {
  const { createInterface } = await import('node:readline/promises')
  const terminal = createInterface({ input: shell.stdin, output: shell.stderr })
  // readline takes Ctrl-C for itself; and Ctrl-D closes it, which is no answer and so a no.
  terminal.on('SIGINT', () => {
    shell.stderr.write('\n')
    shell.emit('SIGINT', 'SIGINT')
  })
  const closed = new Promise<string>(resolve => terminal.once('close', () => resolve('')))
  try {
    const answer = await Promise.race([terminal.question(`${question} [y/N] `), closed])
    return /^y(es)?$/i.test(answer.trim())
  } finally {
    terminal.close()
  }
}

async function isThere(socket: string): Promise<boolean> {
  const { controlClient } = await import('../control/client.ts')
  return controlClient(socket)
    .get('/ping')
    .then(
      () => true,
      () => false,
    )
}
