// gw user: who pays, and how many requests at once they may have.
import type { Command } from 'commander'
import type { Movement } from '../../core/books/ledger.ts'
import type { UserColumn, UserFilter } from '../../core/record/lists.ts'
import type { User } from '../../core/record/user.ts'
import { actor } from '../actor.ts'
import type { Act, Invocation } from '../command.ts'
import { destroys, examples, writes } from '../declare.ts'
import { checkWhich, type Listing, listing, meant, printChanged, printList, type Which, where } from '../listing.ts'
import * as read from '../values.ts'

interface Fields {
  email?: read.OrNone<string>
  concurrency?: number
}

const statuses = ['active', 'disabled'] as const

// core/record/lists.ts has these too, but importing it costs --help its speed; the types keep them the same.
const columns = ['id', 'name', 'email', 'balance', 'concurrency', 'status', 'created'] as const satisfies UserColumn[]
const fields = { state: { words: statuses }, group: 'those who may use this group' }
const less = ['created', 'email', 'concurrency']

const view = ({ id, name, email, balance, concurrency, status, created_at }: User) => {
  return { id, name, email, balance, concurrency, status, created: created_at }
}

export function define(noun: Command, act: Act): void {
  noun.description('Users pay for requests and own client keys.')
  examples(noun, [
    'gw user add alice --balance 20',
    "gw user topup alice 50 --note 'invoice 1234'",
    'gw user set alice --status disabled',
    'gw user list --state active --sort -balance',
  ])

  writes(noun.command('add'))
    .description('add a user')
    .argument('<name>')
    .option('--email <email>', 'for people; gw sends no mail', read.email)
    .option('--balance <usd>', 'what it starts with; default 0', read.usd('--balance', 'zero'))
    .option('--concurrency <n>', 'requests at once, 0 = no limit; default: defaults.user_concurrency', read.concurrency)
    .action(
      act(async (gw, name: string, options: { email?: string; concurrency?: number; balance?: bigint }) => {
        const { addUser } = await import('../../core/record/user.ts')
        const { email, balance, concurrency = (await gw.config())['defaults.user_concurrency'] } = options
        const user = await gw.write(db => addUser(db, { name, email, balance, concurrency, actor: actor(gw.shell) }))
        gw.out.record(user, view(user))
        if (user.balance === 0n)
          gw.out.note(`${name} has no balance, and pays only for what is free; gw user topup ${name} USD gives one`)
      }),
    )

  listing(noun.command('list'), fields, columns)
    .description('list users')
    .action(
      act(async (gw, options: UserFilter & Listing<UserColumn>) => {
        const { userList } = await import('../../core/record/lists.ts')
        await printList(gw, options, {
          noun: 'user',
          query: db => userList(db, options, options.sort),
          shown: users => users,
          view,
          empty: 'no users yet; gw user add NAME makes one',
          less,
          fields,
        })
      }),
    )

  noun
    .command('show')
    .description('show one user')
    .argument('<user>', 'name or number')
    .action(
      act(async (gw, ref: string) => {
        const { findUser } = await import('../../core/record/user.ts')
        const user = await findUser(await gw.db(), ref)
        gw.out.record(user, view(user))
      }),
    )

  where(writes(noun.command('set')), fields)
    .description('change users: all that are named or meant by --where, or none')
    .argument('[users...]', 'names or numbers')
    .option('--name <name>', 'a new name')
    .option('--email <email>', 'or none', read.orNone(read.email))
    .option('--concurrency <n>', 'requests at once, 0 = no limit', read.concurrency)
    .option('--status <status>', statuses.join(' or '), read.oneOf('--status', statuses))
    .action(
      act(
        async (
          gw,
          refs: string[],
          options: Fields & { name?: string; status?: User['status']; where?: Which['where'] },
        ) => {
          const { name, email, concurrency, status } = options
          const change = read.change({ name, email, concurrency, status })
          const which = { noun: 'user', refs, where: options.where }
          checkWhich(which, { '--name': name, '--email': typeof email === 'string' ? email : undefined })
          const [{ findUser, setUsers }, { userList }] = await Promise.all([
            import('../../core/record/user.ts'),
            import('../../core/record/lists.ts'),
          ])
          const users = await gw.write(async db => {
            const them = await meant(
              which,
              ref => findUser(db, ref),
              filter => userList(db, filter as UserFilter),
            )
            return setUsers(
              db,
              them.map(user => user.id),
              change,
            )
          })
          printChanged(gw, which, users, { view, row: view, less })
        },
      ),
    )

  writes(noun.command('topup'))
    .description('add to a balance, with an entry in the ledger')
    .argument('<user>', 'name or number')
    .argument('<usd>', 'how much', read.amount)
    .option('--note <text>', 'why, for the ledger', read.note)
    .action(
      act(async (gw, ref: string, amount: bigint, { note }: { note?: string }) => {
        await moveBalance(gw, ref, { kind: 'topup', amount, note })
      }),
    )

  writes(noun.command('deduct'))
    .description('take from a balance, with an entry in the ledger')
    .argument('<user>', 'name or number')
    .argument('<usd>', 'how much', read.amount)
    .option('--note <text>', 'why, for the ledger', read.note)
    .option('--allow-negative', 'even below zero')
    .action(
      act(async (gw, ref: string, amount: bigint, options: { note?: string; allowNegative?: boolean }) => {
        const { note, allowNegative } = options
        const floor = allowNegative ? undefined : 0n
        await moveBalance(gw, ref, { kind: 'adjustment', amount: -amount, note, floor })
      }),
    )

  destroys(noun.command('rm'))
    .description('take a user away and revoke its keys and subscriptions; usage and ledger stay')
    .argument('<user>', 'name or number')
    .action(
      act(async (gw, ref: string) => {
        const { findUser, removeUser } = await import('../../core/record/user.ts')
        const found = await findUser(await gw.db(), ref)
        await gw.confirm(`remove user "${found.name}" and revoke its keys for good`)
        const user = await gw.write(db => removeUser(db, String(found.id)))
        gw.out.record(user, view(user))
      }),
    )
}

async function moveBalance(gw: Invocation, ref: string, movement: Omit<Movement, 'user' | 'actor'>): Promise<void> {
  const [{ findUser }, { move }] = await Promise.all([
    import('../../core/record/user.ts'),
    import('../../core/books/ledger.ts'),
  ])
  const { user, moved } = await gw.write(async db => {
    const user = await findUser(db, ref)
    return { user, moved: await move(db, { ...movement, user: user.id, actor: actor(gw.shell) }) }
  })
  const { entry, before, balance } = moved
  const now = { ...user, balance }
  gw.out.record({ ...now, old_balance: before, entry_id: entry }, { ...view(now), old_balance: before, entry })
}
