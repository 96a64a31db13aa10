// gw proxy: egress proxies, through which accounts reach their upstreams.
import type { Command } from 'commander'
import type { EgressProxy } from '../../core/record/proxy.ts'
import type { Db } from '../../db/connect.ts'
import type { Act, Invocation } from '../command.ts'
import { readSecret, type SecretOptions } from '../credential.ts'
import { destroys, examples, lists, writes } from '../declare.ts'
import * as read from '../values.ts'

type Fields = SecretOptions

function loginOptions(command: Command): Command {
  return command
    .option('--login-file <file>', 'file that holds USER:PASSWORD for the proxy')
    .option('--login-stdin', 'read USER:PASSWORD from stdin')
}

const view = ({ created_at, ...fields }: EgressProxy) => ({ ...fields, created: created_at })

/** The URL with its login: from the argument, from stdin for `-`, the login from where the options say. */
async function urlOf(gw: Invocation, given: string, options: Fields): Promise<string> {
  const { withLogin } = await import('../../egress/through.ts')
  const login = await readSecret(gw.shell, options, 'USER:PASSWORD')
  if (given === '-') return (await readSecret(gw.shell, { loginStdin: true }, "the proxy's URL"))!
  if (login !== undefined) return withLogin(given, login)
  if (/^[a-z0-9]+:\/\/[^/]*:[^/]*@/i.test(given))
    gw.out.note('note: a password among the arguments is seen by ps and kept by the shell; - reads the URL from stdin')
  return given
}

export function define(noun: Command, act: Act): void {
  noun.description('Proxies are ways out: an account that is given one is reached through it, names and all.')
  examples(noun, [
    'gw proxy add office http://10.0.0.1:3128',
    'pass show proxy/login | gw proxy add abroad socks5://proxy.example:1080 --login-stdin',
    'gw proxy test abroad && gw account set main --proxy abroad',
  ])

  loginOptions(writes(noun.command('add')))
    .description('add a proxy: http, https, socks5 or socks5h, which is the same here: the proxy looks names up')
    .argument('<name>')
    .argument('<url>', 'SCHEME://HOST:PORT, or - to read it, with USER:PASSWORD@, from stdin')
    .action(
      act(async (gw, name: string, given: string, options: Fields) => {
        const { addProxy } = await import('../../core/record/proxy.ts')
        const [url, secret] = [await urlOf(gw, given, options), await gw.secret()]
        const proxy = await gw.write(db => addProxy(db, secret, { name, url }))
        gw.out.record(proxy, view(proxy))
      }),
    )

  lists(noun.command('list'))
    .description('list proxies and the accounts that go through them')
    .action(
      act(async gw => {
        const { listProxies } = await import('../../core/record/proxy.ts')
        const proxies = await listProxies(await gw.db(), await gw.secret())
        gw.out.list(proxies, ({ created_at, ...row }) => row, 'no proxies yet; gw proxy add NAME URL makes one', [
          'accounts',
          'login',
        ])
      }),
    )

  noun
    .command('show')
    .description('show one proxy')
    .argument('<proxy>', 'name or number')
    .action(
      act(async (gw, ref: string) => {
        const { findProxy } = await import('../../core/record/proxy.ts')
        const proxy = await findProxy(await gw.db(), await gw.secret(), ref)
        gw.out.record(proxy, view(proxy))
      }),
    )

  loginOptions(writes(noun.command('set')))
    .description('change a proxy; its accounts are reached through what it is now')
    .argument('<proxy>', 'name or number')
    .option('--name <name>', 'a new name')
    .option('--url <url>', 'a new URL, or - to read it from stdin; without a login it has none')
    .action(
      act(async (gw, ref: string, options: Fields & { name?: string; url?: string }) => {
        const { findProxy, setProxy } = await import('../../core/record/proxy.ts')
        const secret = await gw.secret()
        const login = options.loginFile !== undefined || options.loginStdin
        // A new login of the same proxy: the rest of the URL is known.
        const given = options.url ?? (login ? ((await findProxy(await gw.db(), secret, ref)).url ?? '') : undefined)
        const url = given === undefined ? undefined : await urlOf(gw, given, options)
        const changes = read.change({ name: options.name, url })
        const proxy = await gw.write(db => setProxy(db, secret, ref, changes))
        gw.out.record(proxy, view(proxy))
      }),
    )

  noun
    .command('test')
    .description('make a connection through a proxy, ask for a page, and tell how long it took')
    .argument('<proxy>', 'name or number')
    .option('--url <url>', 'what is asked for; any answer of it will do', 'https://api.anthropic.com/')
    .action(
      act(async (gw, ref: string, { url }: { url: string }) => {
        const { testProxy } = await import('../proxy-test.ts')
        await testProxy(gw, ref, url)
      }),
    )

  destroys(noun.command('rm'))
    .description('take a proxy away; refused while accounts go through it')
    .argument('<proxy>', 'name or number')
    .action(
      act(async (gw, ref: string) => {
        const { findProxy, removeProxy } = await import('../../core/record/proxy.ts')
        const secret = await gw.secret()
        const found = await findProxy(await gw.db(), secret, ref)
        if (found.accounts.length === 0) await gw.confirm(`remove proxy "${found.name}" and forget its login for good`)
        const remove = (db: Db) => removeProxy(db, secret, String(found.id))
        const proxy = await gw.write(remove)
        gw.out.record(proxy, view(proxy))
      }),
    )
}
