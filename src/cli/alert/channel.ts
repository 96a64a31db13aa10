// gw alert channel: where alerts are told; each verb's work is loaded when it is typed.

import path from 'node:path'
import type { Command } from 'commander'
import type { Channel, ChannelChange } from '../../core/notify/channel.ts'
import { type ChannelType, type Severity, severities } from '../../db/schema-watch.ts'
import type { Guard } from '../../lib/guard/guard.ts'
import { readNamed, readStream } from '../../lib/named-file.ts'
import { Refusal } from '../../lib/refusal.ts'
import { why } from '../../lib/why.ts'
import type { Act, Invocation } from '../command.ts'
import { destroys, examples, lists, writes } from '../declare.ts'
import * as read from '../values.ts'

interface Fields {
  url?: string
  to?: string[]
  secretFile?: read.OrNone<string>
  minSeverity?: Severity
}

const types = ['webhook', 'email', 'slack', 'telegram', 'feishu', 'dingtalk', 'wecom'] as const

function fieldOptions(command: Command): Command {
  return command
    .option('--url <url>', 'where it is told, or - to read it from stdin: such URLs are secrets')
    .option('--to <address>', 'of email: who reads it; of telegram: the chat; repeat it for several', read.several())
    .option(
      '--secret-file <file>',
      "file with what signs; of telegram the bot's token; none takes it away",
      read.orNone(text => text),
    )
    .option(
      '--min-severity <severity>',
      'only this and worse, P0 is the worst; default: P3, all',
      read.oneOf<Severity>('--min-severity', severities),
    )
}

const view = ({ created_at, sent_at, ...channel }: Channel) => ({ ...channel, sent: sent_at, created: created_at })

const row = ({ id, name, type, url, recipients, min_severity, enabled, sent_at, problem }: Channel) => {
  const where = recipients.length > 0 ? recipients.join(', ') : url
  return { id, name, type, where, min: min_severity, enabled, sent: sent_at, problem }
}

export function defineChannels(noun: Command, act: Act): void {
  const channel = noun.command('channel').description('Channels are where alerts are told (docs/notifications.md).')
  examples(channel, [
    'gw alert channel add ops --type email --to ops@example.org',
    'pass show hooks/pager | gw alert channel add pager --type webhook --url - --secret-file hmac.txt --min-severity P1',
    'gw alert channel add group --type telegram --to -100123 --secret-file bot.token',
    'gw alert channel test pager',
  ])

  fieldOptions(writes(channel.command('add')))
    .description('add a channel; rules that name none are told in every channel')
    .argument('<name>')
    .requiredOption('--type <type>', types.join(', '), read.oneOf<ChannelType>('--type', types))
    .action(
      act(async (gw, name: string, { type, ...options }: Fields & { type: ChannelType }) => {
        const { addChannel } = await import('../../core/notify/channel.ts')
        const [secret, fields, guard] = [await gw.secret(), await fieldsOf(gw, options), await guardOf(gw)]
        await checkUrl(gw, guard, fields.url)
        const added = await gw.write(db => addChannel(db, secret, { name, type, ...fields }, guard.rules))
        gw.out.record(added, view(added))
        if (fields.url !== undefined && options.url !== '-')
          gw.out.note('note: a URL among the arguments is seen by ps and kept by the shell; - reads it from stdin')
        if (!gw.dryRun) gw.out.note(`try it: gw alert channel test ${name}`)
        if (type === 'email' && (await gw.config())['smtp.url'] === undefined)
          gw.out.note('note: smtp.url is not set, so no mail can be sent')
      }),
    )

  lists(channel.command('list'))
    .description('list channels, and how telling went')
    .action(
      act(async gw => {
        const { listChannels } = await import('../../core/notify/channel.ts')
        const channels = await listChannels(await gw.db(), await gw.secret())
        gw.out.list(channels, row, 'no alert channels yet; gw alert channel add NAME makes one', ['problem', 'sent'])
      }),
    )

  channel
    .command('show')
    .description('show one channel; never its URL or secret')
    .argument('<channel>', 'name or number')
    .action(
      act(async (gw, ref: string) => {
        const { findChannel } = await import('../../core/notify/channel.ts')
        const found = await findChannel(await gw.db(), await gw.secret(), ref)
        gw.out.record(found, view(found))
      }),
    )

  fieldOptions(writes(channel.command('set')))
    .description('change a channel; --to replaces all there were')
    .argument('<channel>', 'name or number')
    .option('--name <name>', 'a new name; rules that name it go on naming it')
    .option('--enable', 'tell there again')
    .option('--disable', 'tell nothing there; of rules that name it their fallback is told')
    .action(
      act(async (gw, ref: string, options: Fields & { name?: string; enable?: boolean; disable?: boolean }) => {
        const { name, enable, disable, ...rest } = options
        if (enable && disable) throw new Refusal('usage', 'give --enable or --disable, not both')
        const enabled = enable ? true : disable ? false : undefined
        const changes = read.change({ name, enabled, ...(await fieldsOf(gw, rest)) }) as ChannelChange
        const { setChannel } = await import('../../core/notify/channel.ts')
        const [secret, guard] = [await gw.secret(), await guardOf(gw)]
        await checkUrl(gw, guard, changes.url)
        const changed = await gw.write(db => setChannel(db, secret, ref, changes, guard.rules))
        gw.out.record(changed, view(changed))
      }),
    )

  channel
    .command('test')
    .description('tell a test message there now, once, and say what came of it')
    .argument('<channel>', 'name or number')
    .action(
      act(async (gw, ref: string) => {
        await (await import('./channel-test.ts')).testChannel(gw, ref)
      }),
    )

  destroys(channel.command('rm'))
    .description('take a channel away, with what was still to be told there; refused while rules name it')
    .argument('<channel>', 'name or number')
    .action(
      act(async (gw, ref: string) => {
        const { findChannel, removeChannel } = await import('../../core/notify/channel.ts')
        const secret = await gw.secret()
        const found = await findChannel(await gw.db(), secret, ref)
        await gw.confirm(`remove alert channel "${found.name}" and forget its URL and secret for good`)
        const removed = await gw.write(db => removeChannel(db, secret, String(found.id)))
        gw.out.record(removed, view(removed))
      }),
    )
}

async function fieldsOf(gw: Invocation, { url, to, secretFile, minSeverity }: Fields): Promise<ChannelChange> {
  return read.given({
    url: url === '-' ? await fromStdin(gw) : url,
    recipients: to,
    secret: typeof secretFile === 'string' ? secretOf(gw, secretFile) : secretFile,
    min_severity: minSeverity,
  }) as ChannelChange
}

async function fromStdin({ shell }: Invocation): Promise<string> {
  if (shell.stdin.isTTY) shell.stderr.write('paste the URL, then press Enter and Ctrl-D\n')
  return (await readStream(shell.stdin)).trim()
}

function secretOf({ shell }: Invocation, file: string): string {
  let text: string
  try {
    text = readNamed(path.resolve(shell.cwd(), file)).trim()
  } catch (error) {
    throw new Refusal('usage', `--secret-file ${file} cannot be read: ${why(error)}`, { cause: error })
  }
  if (text === '' || text.length > 4096 || /\p{Cc}/u.test(text))
    throw new Refusal('usage', `${file} must hold one secret on one line and nothing else`)
  return text
}

export async function guardOf(gw: Invocation): Promise<Guard> {
  const [{ notifyGuard }, config] = [await import('../../lib/guard/notify.ts'), await gw.config()]
  return notifyGuard(config)
}

/** Where its name leads now; whenever it is sent to it is judged again. */
async function checkUrl(gw: Invocation, guard: Guard, text: string | undefined): Promise<void> {
  if (text === undefined) return
  const [{ readUrl }, { isGuards }] = [await import('../../lib/guard/url.ts'), await import('../../lib/guard/guard.ts')]
  const url = readUrl(text, guard.rules)
  // What is wrong with it is said with the rest of the channel.
  if (typeof url === 'string') return
  try {
    await guard.check(url)
  } catch (error) {
    if (isGuards(error))
      throw new Refusal(
        'refused',
        `--url: ${(error as Error).message}; give an https URL of the internet, or set notify.allow_private: true in gw.yaml`,
      )
    gw.out.note(`note: ${url.hostname} cannot be looked up now: ${why(error)}`)
  }
}
