// The configuration of one start: flags over environment over file over defaults, all checked at once.

import { dirname, join, resolve } from 'node:path'
import { readNamed } from '../lib/named-file.ts'
import { Refusal } from '../lib/refusal.ts'
import { didYouMean } from '../lib/suggest.ts'
import { why } from '../lib/why.ts'
import { formatAddress, isLoopback } from './address.ts'
import { readEntries } from './file.ts'
import type { Kind } from './kinds.ts'
import { type Config, type Default, envName, flagName, type SettingKey, settingKeys, settings, xdg } from './schema.ts'

/** Where a value comes from; `default` also for settings that are absent. */
export type Origin = 'default' | `env ${string}` | `flag ${string}` | `${string}:${number}:${number}`

export interface Loaded {
  readonly config: Config
  readonly origin: Readonly<Record<SettingKey, Origin>>
  /** The file that was read, undefined when there is none. */
  readonly file: string | undefined
}

type Flags = { readonly [K in SettingKey]?: string | undefined }

export interface LoadOptions {
  /** `--config`; then no other place is looked at, and a missing file is an error. */
  readonly file?: string | undefined
  /** What was given on the command line, as text. */
  readonly flags?: Flags
  /** Default `process.env`. */
  readonly env?: NodeJS.ProcessEnv
  /** Where relative paths of `file`, flags and environment start; default `process.cwd()`. */
  readonly cwd?: string
  /** The numeric user, default our own; root keeps its data in /var/lib/gw. */
  readonly uid?: number
}

interface Given {
  readonly key: SettingKey
  readonly raw: string | readonly string[]
  readonly origin: Origin
  /** How an error names it: `gw.yaml:4:9 listen`, `GW_LISTEN`, `--listen`. */
  readonly place: string
  /** Where relative paths start. */
  readonly folder: string
  /** What to do when it is empty. */
  readonly remedy: string
}

/** Variables that begin with GW_ and are no settings: the launcher's node, the key of `gw try`, our tests. */
const foreign = /^GW_(NODE|KEY|TEST_.*)$/

// Kubernetes describes every Service of the namespace to every pod; one called "gw" must not stop gw.
const kubernetes = /_SERVICE_(HOST|PORT)(_[A-Z0-9_]+)?$|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$/

/**
 * Finds and reads everything that configures gw.
 * @throws Refusal `config` whose message lists every problem, one a line.
 */
export function loadConfig(options: LoadOptions = {}): Loaded {
  const { problems, ...loaded } = read(options)
  if (problems.length > 0) throw new Refusal('config', problems.join('\n'))
  return loaded
}

/**
 * Where a running gw is asked: a mistake in what has nothing to do with that keeps nobody from looking at gw or stopping it.
 * @returns also what is wrong, a line each
 * @throws Refusal `config` where the path itself cannot be known
 */
export function loadSocket(options: LoadOptions = {}): { socket: string; problems: readonly string[] } {
  const { config, problems, known } = read(options)
  if (!known) throw new Refusal('config', problems.join('\n'))
  return { socket: config['control.socket'], problems }
}

function read(options: LoadOptions): Loaded & { problems: string[]; known: boolean } {
  const env = options.env ?? process.env
  const { flags = {}, cwd = process.cwd() } = options
  const found = findFile(options.file, env, cwd)
  const { given: inFile, whole } = fromFile(found)
  const problems: string[] = []

  const values: Partial<Record<SettingKey, unknown>> = {}
  const origin = Object.fromEntries(settingKeys.map(key => [key, 'default'])) as Record<SettingKey, Origin>
  const place: Partial<Record<SettingKey, string>> = {}
  const wrong = new Set<SettingKey>()
  // From the weakest to the strongest: the last one wins.
  for (const one of [...inFile, ...fromEnvironment(env, flags, cwd), ...fromFlags(flags, cwd)]) {
    if (typeof one === 'string') {
      problems.push(one)
      continue
    }
    origin[one.key] = one.origin
    place[one.key] = one.place
    try {
      values[one.key] = parse(settings[one.key].type, one)
      wrong.delete(one.key)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      wrong.add(one.key)
      problems.push(`${one.place}: ${error.message}`)
    }
  }

  const uid = options.uid ?? process.getuid?.()
  for (const key of settingKeys) {
    const fallback: Default = settings[key].default
    if (key in values || fallback === undefined) continue
    values[key] =
      typeof fallback === 'string'
        ? settings[key].type.parse(fallback, '/')
        : fallback.from({ env, uid, dataDir: String(values['data_dir']) })
  }
  const config = values as Config

  for (const { keys, blame, message } of whole ? contradictions(config, origin) : []) {
    // A setting that was mistyped is not a setting that is missing.
    if (!keys.some(key => wrong.has(key))) problems.push(`${place[blame] ?? blame}: ${message}`)
  }
  const known = whole && !wrong.has('data_dir') && !wrong.has('control.socket')
  return { config, origin, file: found?.file, problems, known }
}

function parse(type: Kind<unknown>, { raw, folder, remedy }: Given): unknown {
  // An empty secret that counted as "not set" would quietly switch a protection off.
  if (raw === '') throw new Refusal('config', `has no value; give it one or ${remedy}`)
  if ([raw].flat().some(text => /\p{Cc}/u.test(text))) throw new Refusal('config', 'must be one line of plain text')
  if (typeof raw === 'string') return type.parse(raw, folder)
  if (type.parseList === undefined) throw new Refusal('config', 'takes one value, got a list')
  return type.parseList(raw)
}

/** The file and its text, undefined when there is none, or what keeps it from being read. */
function findFile(explicit: string | undefined, env: NodeJS.ProcessEnv, cwd: string) {
  const folders = [
    ...(env['CONFIGURATION_DIRECTORY']?.split(':').filter(Boolean) ?? []),
    '/etc/gw',
    join(xdg(env, 'XDG_CONFIG_HOME', '.config'), 'gw'),
  ]
  for (const file of explicit === undefined ? folders.map(folder => join(folder, 'gw.yaml')) : [explicit]) {
    try {
      const where = resolve(cwd, file)
      return { file, folder: dirname(where), text: readNamed(where) }
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (explicit === undefined && (code === 'ENOENT' || code === 'ENOTDIR')) continue
      return { file, problem: `${file}: cannot be read: ${why(error)}; name another file with --config` }
    }
  }
  return undefined
}

function fromFile(found: ReturnType<typeof findFile>): { given: (Given | string)[]; whole: boolean } {
  if (found === undefined) return { given: [], whole: true }
  if (found.problem !== undefined) return { given: [found.problem], whole: false }
  const { entries, whole } = readEntries(found.file, found.text)
  const given = entries.map(entry => {
    if (typeof entry === 'string') return entry
    const { key, raw, at } = entry
    return { key, raw, origin: at, place: `${at} ${key}`, folder: found.folder, remedy: 'delete the line' }
  })
  return { given, whole }
}

function fromEnvironment(env: NodeJS.ProcessEnv, flags: Flags, folder: string): (Given | string)[] {
  const given: (Given | string)[] = []
  const add = (key: SettingKey, name: string) => {
    const raw = env[name]
    if (raw === undefined) return
    given.push({ key, raw, origin: `env ${name}`, place: name, folder, remedy: 'unset it' })
  }
  // Other programs read these two as well, so even their mistakes count only when nothing of ours is set.
  for (const key of ['database.url', 'redis.url'] as const) {
    const name = envName(key).slice('GW_'.length)
    if (env[name] && env[envName(key)] === undefined && flags[key] === undefined) add(key, name)
  }
  for (const key of settingKeys) add(key, envName(key))

  const names = new Set(settingKeys.map(envName))
  for (const name of Object.keys(env).sort()) {
    if (!name.startsWith('GW_') || names.has(name) || foreign.test(name)) continue
    if (env['KUBERNETES_SERVICE_HOST'] !== undefined && kubernetes.test(name)) continue
    given.push(`${name}: is not a setting${didYouMean(name, names) || '; gw config schema lists them all'}`)
  }
  return given
}

function fromFlags(flags: Flags, folder: string): Given[] {
  return settingKeys.flatMap(key => {
    const [name, raw] = [flagName(key), flags[key]]
    if (raw === undefined) return []
    return [{ key, raw, origin: `flag ${name}`, place: name, folder, remedy: 'leave it out' }]
  })
}

export interface Contradiction {
  /** The settings it is about. */
  readonly keys: readonly SettingKey[]
  /** The one whose place the message names. */
  readonly blame: SettingKey
  readonly message: string
}

/** What no single setting gets wrong; `origin` is asked which of two was meant. */
export function contradictions(config: Config, origin: Loaded['origin']): Contradiction[] {
  const out: Contradiction[] = []
  const ops = config['ops.listen']
  if (ops !== 'off' && !isLoopback(ops) && config['ops.token'] === undefined)
    out.push({
      keys: ['ops.listen', 'ops.token'],
      blame: 'ops.listen',
      message: `${formatAddress(ops)} is not loopback, so ops.token is required; set it, or listen on 127.0.0.1:9464`,
    })
  // Refused, not passed over: who believes in two processes plans with two.
  if (config.workers > 1)
    out.push({
      keys: ['workers'],
      blame: 'workers',
      message: `as yet gw serves with one process, got ${config.workers}; leave it at 1, and for each one more run another gw serve with its own data_dir, listen and ops.listen, and the same database.url, redis.url and secret.key_file`,
    })
  // The kernel takes 107 bytes; the rest is room for a temporary name beside it.
  const socket = config['control.socket']
  if (Buffer.byteLength(socket) >= 100)
    out.push({
      keys: ['control.socket', 'data_dir'],
      blame: origin['control.socket'] === 'default' && origin['data_dir'] !== 'default' ? 'data_dir' : 'control.socket',
      message: `the path of a unix socket must be shorter than 100 characters, got ${socket}; set control.socket`,
    })
  return out
}
