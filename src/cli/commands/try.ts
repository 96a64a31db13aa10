// gw try: one request through the gateway, with timing and cost.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import type { Address } from '../../config/address.ts'
import type { UsageRecord } from '../../core/usage/rows.ts'
import type { Platform } from '../../db/schema.ts'
import type { DialectName } from '../../dialect/dialect.ts'
import { formatUsd } from '../../lib/money.ts'
import { Refusal } from '../../lib/refusal.ts'
import type { Act, Invocation } from '../command.ts'
import { readKeyFile } from '../credential.ts'
import { examples } from '../declare.ts'
import { running } from '../running.ts'
import type { Shell } from '../shell.ts'
import * as read from '../values.ts'

// Usage is written in batches, a moment after the reply.
const PATIENCE_MS = 2_000

interface Options {
  model: string
  keyFile?: string
  stream?: boolean
  url?: string
  maxTokens?: number
  dialect?: DialectName
}

const dialects = ['messages', 'chat', 'responses', 'gemini'] as const satisfies DialectName[]

/** What the vendor's own clients speak. */
const dialectOf: Record<Platform, DialectName> = {
  anthropic: 'messages',
  openai: 'responses',
  gemini: 'gemini',
  antigravity: 'gemini',
}

export function define(noun: Command, act: Act): void {
  noun
    .description('Sends one request and prints the answer; times and cost go to stderr.')
    .argument('<text>', 'what to ask')
    .requiredOption('--model <model>', 'the model to ask')
    .option('--key-file <file>', 'file that holds a client key; default: GW_KEY in the environment')
    .option('--stream', 'ask for a stream, and print as it comes')
    .option('--url <url>', 'origin of the gateway; default: where the configuration says it listens')
    .option(
      '--dialect <dialect>',
      `${dialects.join(', ')}; default: that of the platform which the key is for, messages with --url`,
      read.oneOf('--dialect', dialects),
    )
    .option('--max-tokens <n>', 'default: 1024', read.whole('--max-tokens', 1, 1_000_000))
    .action(
      act(async (gw, text: string, options: Options) => {
        const { model, stream = false, maxTokens = 1024 } = options
        const { shell } = gw
        const key = clientKey(shell, options.keyFile)
        const config = await gw.config()
        const url = options.url === undefined ? reach(config['listen']) : origin(options.url)
        const { send } = await import('../request.ts')
        const show = stream && !gw.out.json
        const piece = (part: string) => void (show && shell.stdout.write(part))
        const local = options.url === undefined
        const dialect = options.dialect ?? (local ? await ownDialect(gw, key) : 'messages')
        const answer = await send({ url, dialect, key, model, text, stream, maxTokens, piece })
        // Only our own gateway writes to our database.
        const row = local && answer.error === null ? await booked(gw, answer.request_id) : undefined
        const { cost = null, charged = null, account = null } = row ?? {}

        if (gw.out.json) gw.out.print({ ...answer, account, cost, charged }, '')
        else if (!show && answer.text) gw.out.print(null, answer.text)
        else if (show) shell.stdout.write('\n')
        if (answer.error !== null)
          throw new Refusal(
            'failure',
            `the gateway answered ${answer.status}: ${answer.error} (${answer.request_id === null ? 'request without an id' : `why: gw explain ${answer.request_id}`})`,
          )
        const { status, first_token_ms: first, duration_ms, input_tokens, output_tokens } = answer
        const spent = cost === null ? [] : [`cost ${formatUsd(cost)} USD`]
        const by = account === null ? [] : [`account ${account}`]
        const times = [`status ${status}`, `first token ${first ?? '-'} ms`, `total ${duration_ms} ms`]
        gw.out.note([...times, `tokens ${input_tokens} in ${output_tokens} out`, ...spent, ...by].join(' · '))
        if (local && answer.request_id !== null) gw.out.note(`why: gw explain ${answer.request_id}`)
        return 0
      }),
    )
  examples(noun, [
    'GW_KEY=$(cat key.txt) gw try --model claude-sonnet-4-5 "hello"',
    'gw try --model claude-sonnet-4-5 --stream --key-file key.txt "tell me more"',
    'gw try --dialect chat --model claude-sonnet-4-5 "hello"',
  ])
}

function clientKey(shell: Shell, file: string | undefined): string {
  if (file !== undefined) return readKeyFile(shell, '--key-file', file)
  const key = shell.env['GW_KEY']?.trim()
  if (key) return key
  throw new Refusal(
    'usage',
    'a client key is needed: --key-file FILE, or GW_KEY in the environment (gw key create makes one)',
  )
}

/** Where to connect for what listens on `address`. */
function reach(address: Address): string {
  if ('fd' in address)
    throw new Refusal(
      'usage',
      'listen is a passed socket, so where it is bound is not known; name the gateway with --url',
    )
  // Every address of the machine includes its own.
  const host = address.host === '0.0.0.0' ? '127.0.0.1' : address.host === '::' ? '::1' : address.host
  return `http://${host.includes(':') ? `[${host}]` : host}:${address.port}`
}

function origin(text: string): string {
  const url = URL.parse(text)
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return url.origin + url.pathname.replace(/\/+$/, '')
  throw new Refusal('usage', `--url must be an origin such as http://127.0.0.1:8080, got "${text}"`)
}

/** The dialect of the platform that a key is for; `messages` when that cannot be known, for the gateway will say what is wrong. */
async function ownDialect(gw: Invocation, key: string): Promise<DialectName> {
  try {
    const db = await running(gw)
    if (!db) return 'messages'
    const { platformOfKey } = await import('../../core/record/key.ts')
    return dialectOf[(await platformOfKey(db, await gw.secret(), key)) ?? 'anthropic']
  } catch {
    return 'messages'
  }
}

/** The usage row of a request, waited for; undefined when it does not come or the database cannot be reached. */
async function booked(gw: Invocation, id: string | null): Promise<UsageRecord | undefined> {
  if (id === null || !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)) return undefined
  try {
    const db = await running(gw)
    if (!db) return undefined
    const { listUsage } = await import('../../core/usage/rows.ts')
    for (const deadline = performance.now() + PATIENCE_MS; performance.now() < deadline; await sleep(50)) {
      const [row] = await listUsage(db, { request: id, limit: 1 })
      if (row !== undefined) return row
    }
  } catch (error) {
    gw.out.note(`the cost is not known: ${(error as Error).message}`)
  }
  return undefined
}
