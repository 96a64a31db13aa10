// gw key: what clients present.
import type { Command } from 'commander'
import type { Key } from '../../core/record/key.ts'
import type { KeyColumn, KeyFilter } from '../../core/record/lists.ts'
import { platforms } from '../../db/schema.ts'
import { Refusal } from '../../lib/refusal.ts'
import type { Act, Invocation } from '../command.ts'
import { destroys, examples, writes } from '../declare.ts'
import { checkWhich, type Listing, listing, meant, printChanged, printList, type Which, where } from '../listing.ts'
import * as read from '../values.ts'

interface Fields {
  name?: string
  expires?: read.OrNone<Date>
  allowIp?: string[]
  models?: string[]
  quota?: read.OrNone<bigint>
  concurrency?: read.OrNone<number>
  rpm?: read.OrNone<number>
  tpm?: read.OrNone<number>
}

const limits = ({ quota, expires, allowIp, models, concurrency, rpm, tpm }: Fields) => {
  return { quota, expires_at: expires, allow_ip: allowIp, models, concurrency, rpm, tpm }
}

const view = ({ created_at, expires_at, ...fields }: Key) => ({ ...fields, expires: expires_at, created: created_at })

const row = ({ id, name, prefix, user, group, status, expires_at, created_at, ...rest }: Key) => {
  const { quota, used, concurrency, rpm, tpm, allow_ip, models } = rest
  const state = status === 'active' && expires_at !== null && expires_at <= new Date() ? 'expired' : status
  return {
    id,
    name,
    prefix: `${prefix}…`,
    user,
    group,
    status: state,
    used,
    quota,
    concurrency,
    rpm,
    tpm,
    allow_ip,
    models,
    expires: expires_at,
    created: created_at,
  }
}

// Nearly none has these.
const less = ['created', 'tpm', 'rpm', 'allow_ip', 'models', 'concurrency', 'quota', 'used', 'group']

// core/record/lists.ts has these too, but importing it costs --help its speed; the types keep them the same.
const columns = [
  'id',
  'name',
  'user',
  'group',
  'status',
  'used',
  'quota',
  'concurrency',
  'rpm',
  'tpm',
  'expires',
  'created',
] as const satisfies KeyColumn[]
const states = ['active', 'expired', 'revoked'] as const satisfies KeyFilter['state']
const fields = {
  state: { words: states },
  user: 'those of this user',
  group: 'those of this group, or none for those of no group',
  platform: { words: platforms },
}

/** Prints a record that carries the key itself. */
function reveal(gw: Invocation, key: Key & { key: string }): void {
  const { id, name, prefix, ...rest } = view(key)
  gw.out.record(key, { id, name, prefix, key: key.key, ...rest })
  if (gw.dryRun) gw.out.note('the key shown does not exist')
  else gw.out.note('this is the only time the key is shown')
  if (key.group === null)
    gw.out.note(
      `it belongs to no group, so it opens every account that is not in an exclusive one, at list price: gw key set ${key.name} --group GROUP binds it`,
    )
}

function fieldOptions(command: Command): Command {
  return command
    .option('--expires <when>', 'after a duration such as 30d, or at a date', read.orNone(read.until('--expires')))
    .option(
      '--allow-ip <cidr>',
      'only from there; repeat it, or separate several with commas',
      read.several(read.cidr('--allow-ip')),
    )
    .option(
      '--concurrency <n>',
      "requests at once by this key, within its user's; none for only the user's limit",
      read.orNone(read.concurrency),
    )
    .option('--quota <usd>', 'what it may cost in all, or none', read.orNone(read.usd('--quota', 'above zero')))
    .option('--rpm <n>', 'requests a minute, or none', read.orNone(read.whole('--rpm', 1, read.LARGEST)))
    .option('--tpm <n>', 'tokens a minute, or none', read.orNone(read.whole('--tpm', 1, read.LARGEST)))
    .option('--models <model>', 'only such models; repeat it, or separate several with commas', read.several())
}

export function define(noun: Command, act: Act): void {
  noun.description('Keys let clients in; only a digest of each is kept.')
  examples(noun, [
    'gw key create --user alice --group team',
    'gw key create --user ci --group team --quota 5 --expires 30d --allow-ip 10.0.0.0/8',
    'gw key rotate alice --grace 1h',
    'gw key set --where user=alice --rpm 60',
  ])

  fieldOptions(writes(noun.command('create')))
    .description('create a key and print it, once')
    .requiredOption('--user <user>', 'who pays, by name or number')
    .option('--group <group>', 'group it is for')
    .option('--name <name>', "what it is called; default: the user's name")
    .action(
      act(async (gw, options: Fields & { user: string; group?: string }) => {
        const { createKey } = await import('../../core/record/key.ts')
        const [config, secret] = await Promise.all([gw.config(), gw.secret()])
        const { user, group, name } = options
        const fields = read.given(limits(options))
        const valuePrefix = config['keys.prefix']
        reveal(gw, await gw.write(db => createKey(db, secret, { user, group, name, valuePrefix, ...fields })))
      }),
    )

  listing(noun.command('list'), fields, columns)
    .description('list keys that work')
    .option('--all', 'revoked ones too')
    .action(
      act(async (gw, options: KeyFilter & Listing<KeyColumn> & { all?: boolean }) => {
        if (options.all && options.state)
          throw new Refusal('usage', '--all and --state exclude each other; give one of them')
        const { keyList } = await import('../../core/record/lists.ts')
        const filter = options.all ? { ...options, state: states } : options
        await printList(gw, options, {
          noun: 'key',
          query: db => keyList(db, filter, options.sort),
          shown: keys => keys,
          view: row,
          empty: 'no keys yet; gw key create --user USER makes one',
          less,
          fields,
        })
      }),
    )

  noun
    .command('show')
    .description('show one key')
    .argument('<key>', 'name, number or the beginning that is shown')
    .action(
      act(async (gw, ref: string) => {
        const { findKey } = await import('../../core/record/key.ts')
        const key = await findKey(await gw.db(), ref)
        gw.out.record(key, view(key))
      }),
    )

  where(fieldOptions(writes(noun.command('set'))), fields)
    .description(
      'change keys: all that are named or meant by --where, or none; lists replace what there was, none takes a limit away',
    )
    .argument('[keys...]', 'names, numbers or the beginnings that are shown')
    .option(
      '--group <group>',
      'group it is for, or none',
      read.orNone(text => text),
    )
    .option('--name <name>', 'a new name')
    .action(
      act(async (gw, refs: string[], options: Fields & { group?: read.OrNone<string>; where?: Which['where'] }) => {
        const { name, group } = options
        const change = read.change({ name, group, ...limits(options) })
        const which = { noun: 'key', refs, where: options.where }
        checkWhich(which, { '--name': name })
        const [{ findKey, setKeys }, { keyList }] = await Promise.all([
          import('../../core/record/key.ts'),
          import('../../core/record/lists.ts'),
        ])
        const keys = await gw.write(async db => {
          const them = await meant(
            which,
            ref => findKey(db, ref),
            filter => keyList(db, filter as KeyFilter),
          )
          return setKeys(db, them, change)
        })
        printChanged(gw, which, keys, { view, row, less })
      }),
    )

  destroys(noun.command('revoke'))
    .description('make a key stop working, for good')
    .argument('<key>', 'name, number or the beginning that is shown')
    .action(
      act(async (gw, ref: string) => {
        const { findKey, revokeKey } = await import('../../core/record/key.ts')
        const found = await findKey(await gw.db(), ref)
        await gw.confirm(`revoke key "${found.name}" of ${found.user} (${found.prefix}…) for good`)
        const key = await gw.write(db => revokeKey(db, String(found.id)))
        gw.out.record(key, view(key))
      }),
    )

  writes(noun.command('rotate'))
    .description(
      'create a key like this one, print it once, and let the old one end; what is used of its quota stays used',
    )
    .argument('<key>', 'name, number or the beginning that is shown')
    .option('--grace <duration>', 'how long the old one still works; default: not at all', read.duration('--grace'))
    .action(
      act(async (gw, ref: string, options: { grace?: number }) => {
        const { rotateKey } = await import('../../core/record/key.ts')
        const [config, secret] = await Promise.all([gw.config(), gw.secret()])
        const rotation = { graceMs: options.grace ?? 0, valuePrefix: config['keys.prefix'], now: Date.now() }
        reveal(gw, await gw.write(db => rotateKey(db, secret, ref, rotation)))
      }),
    )
}
