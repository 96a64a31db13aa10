// gw account: upstream credentials, each with its own concurrency and priority.
import type { Command } from 'commander'
import type { AccountState } from '../../control/view.ts'
import type { Account } from '../../core/record/account.ts'
import type { AccountColumn, AccountFilter } from '../../core/record/lists.ts'
import type { Db } from '../../db/connect.ts'
import { type AccountDialect, type Platform, platforms } from '../../db/schema.ts'
import { Refusal } from '../../lib/refusal.ts'
import { details, row, type ShownAccount, shownLive, stored, storedOne } from '../accounts.ts'
import type { Act, Invocation } from '../command.ts'
import {
  type CredentialOptions,
  credentialOptions,
  notRefreshed,
  readCredential,
  readSecret,
  requireCredential,
} from '../credential.ts'
import { destroys, examples, lists, writes } from '../declare.ts'
import { checkWhich, isMany, type Listing, listing, printChanged, type Which, where } from '../listing.ts'
import type { LoginOptions } from '../login/login.ts'
import * as read from '../values.ts'

interface Fields extends CredentialOptions {
  group?: string[]
  concurrency?: number
  priority?: number
  map?: Record<string, string>
  dialect?: AccountDialect
  interceptWarmup?: boolean
  proxy?: read.OrNone<string>
  mixed?: boolean
}

type SetFields = Fields & { name?: string; baseUrl?: read.OrNone<string>; where?: Which['where'] }

interface LoginFields extends LoginOptions {
  new?: boolean
  platform?: Platform
  group?: string[]
  baseUrl?: string
  proxy?: read.OrNone<string>
  clientSecretFile?: string
  clientSecretStdin?: boolean
}

function fieldOptions(command: Command): Command {
  return credentialOptions(command)
    .option('--group <group>', 'group it serves; repeat it, or separate several with commas', read.several())
    .option('--concurrency <n>', 'requests at once, 0 = no limit', read.concurrency)
    .option('--priority <n>', '1 to 100, the lowest is chosen first', read.whole('--priority', 1, 100))
    .option('--map <model=upstream>', 'serve only such models, under the upstream name; repeat it', read.mapping)
    .option(
      '--dialect <dialect>',
      'of platform openai: responses, chat, or auto for responses at api.openai.com and chat elsewhere',
      read.oneOf('--dialect', ['auto', 'responses', 'chat']),
    )
    .option('--intercept-warmup', 'answer throw-away requests of clients (warmup.*) here, not upstream')
    .option('--no-intercept-warmup', 'send them upstream as all others')
    .option(
      '--proxy <proxy>',
      'egress proxy that it is reached through (gw proxy list), or none',
      read.orNone(text => text),
    )
    .option('--mixed', 'of platform antigravity: it may serve in groups of anthropic and gemini, too')
    .option('--no-mixed', 'in groups of its own platform only')
}

// core/record/lists.ts and control/view.ts have these too, but importing the first costs --help its speed; the types keep them the same.
const columns = [
  'id',
  'name',
  'state',
  'platform',
  'type',
  'priority',
  'concurrency',
  'proxy',
  'token',
  'expires',
  'created',
] as const satisfies AccountColumn[]
const states = [
  'available',
  'full',
  'rate_limited',
  'overloaded',
  'paused',
  'ejected',
  'error',
  'expired',
] as const satisfies AccountState[]
const fields = {
  state: { words: states },
  group: 'those in this group, or none for those in no group',
  platform: { words: platforms },
}
const less = ['proxy', 'token', 'dialect', 'type', 'priority', 'platform', 'groups']

/** Writes, then shows what the account is now. */
async function change(gw: Invocation, work: (db: Db) => Promise<Account>): Promise<ShownAccount> {
  const account = await gw.write(async db => storedOne(db, await work(db)))
  gw.out.record(account, details(account))
  return account
}

/** Changes all that are meant in one transaction, then shows what they are now. */
async function changeAll(
  gw: Invocation,
  which: Which,
  work: (db: Db, accounts: Account[]) => Promise<Account[]>,
): Promise<ShownAccount[]> {
  const { accountsMeant } = await import('../accounts.ts')
  const accounts = await gw.write(async db => stored(db, await work(db, await accountsMeant(gw, db, which))))
  printChanged(gw, which, accounts, { view: details, row, less })
  return accounts
}

export function define(noun: Command, act: Act): void {
  noun.description('Accounts are upstream credentials; groups pool them.')
  examples(noun, [
    'gw account add main --platform anthropic --group team --api-key-file key.txt',
    'pass show provider/key | gw account set main --api-key-stdin',
    'gw account pause main --reason "invoice open"',
    'gw account add plan --platform gemini --group team --oauth-file tokens.json --proxy office',
    'gw account login plan --authorize-url https://… --token-url https://… --client-id mine --scopes "a b"',
    'gw account test main && gw account list',
    'gw account list --state rate_limited,ejected --sort priority',
    'gw account set --where group=team --concurrency 4 --dry-run',
  ])

  fieldOptions(writes(noun.command('add')))
    .description('add an account; without --group it joins the group PLATFORM-default if there is one')
    .argument('<name>')
    .requiredOption('--platform <platform>', platforms.join(', '), read.oneOf('--platform', platforms))
    .option('--base-url <url>', "origin with an optional prefix; default: the platform's own")
    .action(
      act(async (gw, name: string, options: Fields & { platform: Platform; baseUrl?: string }) => {
        const credential = await requireCredential(gw.shell, options)
        const { addAccount } = await import('../../core/record/account.ts')
        const [config, secret] = await Promise.all([gw.config(), gw.secret()])
        const { platform, baseUrl, dialect, map, group, interceptWarmup, proxy, mixed } = options
        const { checkBaseUrl } = await import('../base-url.ts')
        await checkBaseUrl(gw, baseUrl, typeof proxy === 'string')
        const account = await change(gw, db =>
          addAccount(db, secret, {
            name,
            platform,
            ...credential,
            concurrency: options.concurrency ?? config['defaults.account_concurrency'],
            priority: options.priority ?? config['defaults.account_priority'],
            ...read.given({ base_url: baseUrl, dialect, model_map: map, groups: group }),
            ...read.given({ intercept_warmup: interceptWarmup, proxy, mixed }),
          }),
        )
        const stays = notRefreshed(credential)
        if (stays !== undefined) gw.out.note(`note: ${stays}`)
        if (account.groups.length === 0 && !gw.dryRun)
          gw.out.note(`no key can reach it before it is in a group: gw account set ${name} --group GROUP`)
      }),
    )

  listing(noun.command('list'), fields, columns)
    .description('list accounts, with live facts when the daemon runs')
    .action(
      act(async (gw, options: AccountFilter & Listing<AccountColumn>) => {
        const { listAccounts } = await import('../accounts.ts')
        await listAccounts(gw, options, { fields, less })
      }),
    )

  noun
    .command('show')
    .description('show one account, with live facts when the daemon runs')
    .argument('<account>', 'name or number')
    .action(
      act(async (gw, ref: string) => {
        const { findAccount } = await import('../../core/record/account.ts')
        const db = await gw.db()
        const [account] = await shownLive(gw, db, [await findAccount(db, ref)])
        gw.out.record(account!, details(account!))
      }),
    )

  lists(noun.command('models'))
    .description('what an account serves and who says so: its own mapping, its provider, or gw')
    .argument('<account>', 'name or number')
    .option('--refresh', "read its provider's list now")
    .action(
      act(async (gw, ref: string, options: { refresh?: boolean }) => {
        const { showModels } = await import('../models.ts')
        await showModels(gw, ref, options.refresh ?? false)
      }),
    )

  where(fieldOptions(writes(noun.command('set'))), fields)
    .description(
      'change accounts: all that are named or meant by --where, or none; --group and --map replace all there were, none empties them',
    )
    .argument('[accounts...]', 'names or numbers')
    .option('--name <name>', 'a new name')
    .option(
      '--base-url <url>',
      "or none for the platform's own",
      read.orNone(text => text),
    )
    .action(
      act(async (gw, refs: string[], options: SetFields) => {
        const which = { noun: 'account', refs, where: options.where }
        const { name, baseUrl, dialect, concurrency, priority, map, group, interceptWarmup, proxy, mixed } = options
        const { apiKeyFile, apiKeyStdin, oauthFile } = options
        checkWhich(which, {
          '--name': name,
          '--api-key-file': apiKeyFile,
          '--api-key-stdin': apiKeyStdin,
          '--oauth-file': oauthFile,
        })
        const credential = await readCredential(gw.shell, options)
        const changes = read.change({
          ...{ name, base_url: baseUrl, dialect, concurrency, priority, model_map: map, groups: group },
          intercept_warmup: interceptWarmup,
          proxy,
          mixed,
          credential: credential?.credential,
        })
        const [{ setAccounts }, { accountsMeant }, { checkBaseUrl }] = await Promise.all([
          import('../../core/record/account.ts'),
          import('../accounts.ts'),
          import('../base-url.ts'),
        ])
        const secret = await gw.secret()
        if (baseUrl !== undefined) {
          const before = proxy === undefined ? await accountsMeant(gw, await gw.db(), which) : [{ proxy }]
          await checkBaseUrl(
            gw,
            baseUrl,
            before.every(account => typeof account.proxy === 'string'),
          )
        }
        await changeAll(gw, which, async (db, accounts) => {
          const other = accounts.find(account => credential !== undefined && credential.type !== account.type)
          if (credential !== undefined && other)
            throw new Refusal(
              'usage',
              `account "${other.name}" is of type ${other.type} and keeps it; add a new account for an ${credential.type} credential`,
            )
          return setAccounts(db, secret, accounts, changes)
        })
      }),
    )

  where(writes(noun.command('pause')), fields)
    .description('send accounts no new requests; those under way finish')
    .argument('[accounts...]', 'names or numbers')
    .option('--reason <text>', 'shown wherever the account is')
    .action(
      act(async (gw, refs: string[], options: { reason?: string; where?: Which['where'] }) => {
        const which = { noun: 'account', refs, where: options.where }
        checkWhich(which)
        const { setAccounts } = await import('../../core/record/account.ts')
        const paused = { status: 'paused', reason: options.reason ?? null } as const
        const secret = await gw.secret()
        const accounts = await changeAll(gw, which, (db, accounts) => setAccounts(db, secret, accounts, paused))
        if (!gw.dryRun && !isMany(which)) gw.out.note(`undo: gw account resume ${accounts[0]!.name}`)
      }),
    )

  where(writes(noun.command('resume')), fields)
    .description('use accounts that are paused, or in error, again')
    .argument('[accounts...]', 'names or numbers')
    .action(
      act(async (gw, refs: string[], options: { where?: Which['where'] }) => {
        const which = { noun: 'account', refs, where: options.where }
        checkWhich(which)
        const { setAccounts } = await import('../../core/record/account.ts')
        const secret = await gw.secret()
        const resumed = { status: 'active', reason: null } as const
        await changeAll(gw, which, (db, accounts) => setAccounts(db, secret, accounts, resumed))
      }),
    )

  where(writes(noun.command('clear')), fields)
    .description(
      'forget what upstreams said of accounts: use them again at once, out of error too; paused stays paused',
    )
    .argument('[accounts...]', 'names or numbers')
    .action(
      act(async (gw, refs: string[], options: { where?: Which['where'] }) => {
        const which = { noun: 'account', refs, where: options.where }
        checkWhich(which)
        const { clearAccounts } = await import('../../core/record/account.ts')
        await changeAll(gw, which, async (db, accounts) => (await clearAccounts(db, accounts)).accounts)
      }),
    )

  noun
    .command('refresh')
    .description('refresh the token of an OAuth account now, expired or not')
    .argument('<account>', 'name or number')
    .action(
      act(async (gw, ref: string) => {
        const { refreshAccount } = await import('../refresh.ts')
        const { findAccount } = await import('../../core/record/account.ts')
        await refreshAccount(gw, ref)
        const account = await storedOne(await gw.db(), await findAccount(await gw.db(), ref))
        gw.out.record(account, details(account))
      }),
    )

  writes(noun.command('login'))
    .description("get an OAuth account's first tokens, or new ones, from its vendor's own page, with a client of yours")
    .argument('<account>', 'name or number; with --new a new name')
    .option('--new', 'add the account')
    .option('--platform <platform>', 'of a new one', read.oneOf('--platform', platforms))
    .option('--group <group>', 'of a new one; repeat it, or separate several with commas', read.several())
    .option('--base-url <url>', 'of a new one')
    .option(
      '--proxy <proxy>',
      'of a new one; the tokens are fetched through it, too',
      read.orNone(text => text),
    )
    .option('--authorize-url <url>', 'the page that a person is sent to (PKCE)')
    .option('--device-url <url>', 'in its place: where a device asks for its code')
    .option('--token-url <url>', 'where a code becomes tokens, and tokens become new ones')
    .option('--client-id <id>', 'of your client at the vendor')
    .option('--client-secret-file <file>', 'file that holds its secret, if it has one')
    .option('--client-secret-stdin', 'read its secret from stdin')
    .option('--scopes <scopes>', 'divided by blanks')
    .option('--param <name=value>', 'more for the URL of the page, such as access_type=offline; repeat it', read.pairs)
    .option(
      '--token-format <format>',
      'how the token endpoint is asked',
      read.oneOf('--token-format', ['form', 'json']),
    )
    .option(
      '--port <n>',
      'of this machine, where the browser comes back to; default: any',
      read.whole('--port', 1, 65_535),
    )
    .option('--redirect-uri <uri>', 'where else it goes; the code is then pasted here')
    .option('--paste', 'paste the code here')
    .action(
      act(async (gw, ref: string, options: LoginFields) => {
        const { loginAccount } = await import('../login/account.ts')
        const clientSecret = await readSecret(
          gw.shell,
          { loginFile: options.clientSecretFile!, loginStdin: options.clientSecretStdin! },
          'the client secret',
        )
        const account = await change(gw, await loginAccount(gw, ref, { ...options, clientSecret }))
        if (account.groups.length === 0 && !gw.dryRun)
          gw.out.note(`no key can reach it before it is in a group: gw account set ${ref} --group GROUP`)
      }),
    )

  noun
    .command('test')
    .description('send one small real request through an account; when it is answered, the account is cleared as well')
    .argument('<account>', 'name or number')
    .option('--model <model>', 'as clients name it; default: one that the account serves')
    .option('--dry-run', 'send the request, clear nothing')
    .action(
      act(async (gw, ref: string, options: { model?: string }) => {
        const { testAccount } = await import('../probe.ts')
        await testAccount(gw, ref, options.model)
      }),
    )

  destroys(noun.command('rm'))
    .description('take an account away and forget its credential; usage stays')
    .argument('<account>', 'name or number')
    .action(
      act(async (gw, ref: string) => {
        const { findAccount, removeAccount } = await import('../../core/record/account.ts')
        const found = await findAccount(await gw.db(), ref)
        await gw.confirm(`remove account "${found.name}" and forget its credential for good`)
        await change(gw, db => removeAccount(db, String(found.id)))
      }),
    )
}
