// gw mock: the scripted provider, as a process of its own.

import type { Command } from 'commander'
import { Refusal } from '../../lib/refusal.ts'
import { why } from '../../lib/why.ts'
import type { Act } from '../command.ts'
import { examples } from '../declare.ts'

const STANDARD = '127.0.0.1:8090'

export function define(noun: Command, act: Act): void {
  noun
    .description('Runs a provider that does what it is told, until Ctrl-C; without a script it answers every request.')
    .option('--listen <address>', `host:port; default: ${STANDARD}`)
    .action(
      act(async (gw, options: { listen?: string }) => {
        const where = await addressOf(options.listen ?? STANDARD)
        const { startMock } = await import('../../mock/server.ts')
        const mock = await startMock(where).catch(error => {
          throw new Refusal(
            'unreachable',
            `${where.host} port ${where.port}: ${why(error)}; choose another with --listen HOST:PORT`,
            { cause: error },
          )
        })
        gw.ownSignals()
        const ended = new Promise<void>(resolve => {
          for (const signal of ['SIGINT', 'SIGTERM'] as const) gw.shell.once(signal, () => resolve())
        })
        gw.out.print({ url: mock.url }, manual(mock.url))
        await ended
        await mock.close()
      }),
    )
  examples(noun, [
    'gw mock',
    'gw account add m --platform anthropic --base-url http://127.0.0.1:8090 --api-key-file any.txt',
  ])
}

async function addressOf(text: string): Promise<{ host: string; port: number }> {
  const { address } = await import('../../config/address.ts')
  try {
    const parsed = address(STANDARD).parse(text, '/')
    if ('port' in parsed) return parsed
  } catch (error) {
    throw new Refusal('usage', `--listen: ${(error as Error).message}`, { cause: error })
  }
  throw new Refusal('usage', `--listen must be host:port, got "${text}"; write for example ${STANDARD}`)
}

const manual = (url: string) => `mock provider at ${url}

It speaks Anthropic Messages, OpenAI Chat and Responses, Gemini and Antigravity, and gives tokens at /token.

give it to an account:      gw account add mock --platform PLATFORM --base-url ${url} --api-key-file FILE
the next replies of a key:  curl ${url}/_mock/script -d '{"credential": "*", "steps": [{"status": 529}, {"text": "hello"}]}'
what it has seen:           curl ${url}/_mock/stats
as if nothing had been:     curl -X POST ${url}/_mock/reset`
