// The options of `gw price`: a price to set, a file to take prices from, dates.

import path from 'node:path'
import type { Command } from 'commander'
import type { PriceRow, Written } from '../core/price/row.ts'
import { parseUsd } from '../lib/money.ts'
import { readNamed, readStream } from '../lib/named-file.ts'
import { Refusal } from '../lib/refusal.ts'
import { why } from '../lib/why.ts'
import type { Shell } from './shell.ts'
import * as read from './values.ts'

const noRates: Written = {
  ...{ input: null, output: null, cacheRead: null },
  ...{ cacheWrite5m: null, cacheWrite30m: null, cacheWrite1h: null, cacheWrite12h: null },
}

export interface SetOptions {
  input: bigint
  output: bigint
  cacheWrite5m?: bigint
  cacheWrite30m?: bigint
  cacheWrite1h?: bigint
  cacheWrite12h?: bigint
  cacheRead?: bigint
  tierAbove?: number
  tierInput?: bigint
  tierOutput?: bigint
  tierCacheRead?: bigint
  mode?: ReadonlyMap<string, Written>
  geo?: ReadonlyMap<string, bigint>
  webSearch?: bigint
  embedding?: boolean
  from?: Date
  accept?: boolean
}

export function setOptions(command: Command): Command {
  const usd = (flag: string) => read.usd(flag, 'zero')
  return command
    .requiredOption('--input <usd>', 'per million tokens of prompt', usd('--input'))
    .requiredOption('--output <usd>', 'per million tokens of answer, reasoning included', usd('--output'))
    .option('--cache-write-5m <usd>', 'default: as the next longer one, or input', usd('--cache-write-5m'))
    .option('--cache-write-30m <usd>', 'default: as the next longer one, or the next shorter', usd('--cache-write-30m'))
    .option('--cache-write-1h <usd>', 'the same', usd('--cache-write-1h'))
    .option('--cache-write-12h <usd>', 'default: as the next shorter one, or input', usd('--cache-write-12h'))
    .option('--cache-read <usd>', 'default: as input', usd('--cache-read'))
    .option('--tier-above <tokens>', 'other rates for longer prompts', read.whole('--tier-above', 1, read.LARGEST))
    .option('--tier-input <usd>', 'the rate of that tier', usd('--tier-input'))
    .option('--tier-output <usd>', 'the rate of that tier', usd('--tier-output'))
    .option('--tier-cache-read <usd>', 'default: in proportion to input', usd('--tier-cache-read'))
    .option('--mode <name=rates>', 'a service mode: priority=INPUT,OUTPUT[,CACHE-READ]; may be repeated', modes)
    .option('--geo <name=times>', 'a region and how many times every rate: us=1.1; may be repeated', regions)
    .option('--web-search <usd>', 'per search; default: not billed', usd('--web-search'))
    .option('--embedding', 'an output rate of 0 is right')
    .option('--from <date>', 'since when it holds; default: now', date('--from'))
    .option('--accept', 'even what lint calls an error')
}

export interface FileOptions {
  only?: string[]
  from?: Date
}

export function fileOptions(command: Command): Command {
  return command
    .argument('<file>', "LiteLLM's model_prices_and_context_window.json, or gw's own format; - is stdin")
    .option('--only <glob>', 'only models that match, such as claude-*; may be repeated', read.several())
    .option('--from <date>', 'since when they hold; default: now, or what the file says', date('--from'))
}

/** A date; a length of time could be meant forwards and backwards. */
export function date(flag: string): (text: string) => Date {
  return text => {
    if (/^\d{4}-/.test(text)) return read.since(flag)(text)
    throw new Refusal(
      'usage',
      `${flag} must be a date such as 2026-12-31 or 2026-12-31T18:00Z, got ${JSON.stringify(text)}`,
    )
  }
}

/** Collects `NAME=INPUT,OUTPUT[,CACHE-READ]`. */
function modes(text: string, before: ReadonlyMap<string, Written> = new Map()): ReadonlyMap<string, Written> {
  const [, name, list = ''] = /^([^=\s]+)=(.+)$/.exec(text) ?? []
  const [input = '', output, cacheRead, ...more] = list.split(',')
  if (name === undefined || output === undefined || more.length > 0)
    throw new Refusal(
      'usage',
      `--mode must be NAME=INPUT,OUTPUT or NAME=INPUT,OUTPUT,CACHE-READ, got ${JSON.stringify(text)}`,
    )
  const usd = read.usd('--mode', 'zero')
  const rates = { input: usd(input), output: usd(output), cacheRead: cacheRead === undefined ? null : usd(cacheRead) }
  return new Map([...before, [name, { ...noRates, ...rates }]])
}

/** Collects `NAME=TIMES`. */
function regions(text: string, before: ReadonlyMap<string, bigint> = new Map()): ReadonlyMap<string, bigint> {
  const [, name, times] = /^([^=\s]+)=(\d{1,3}(?:\.\d{1,9})?)$/.exec(text) ?? []
  if (name === undefined || times === undefined)
    throw new Refusal('usage', `--geo must be NAME=TIMES such as us=1.1, got ${JSON.stringify(text)}`)
  return new Map([...before, [name, parseUsd(times)!]])
}

/** The price that the options say. @throws Refusal `usage` */
export function written(model: string, options: SetOptions): PriceRow {
  const { tierAbove, tierInput = null, tierOutput = null, tierCacheRead = null } = options
  if (tierAbove === undefined && [tierInput, tierOutput, tierCacheRead].some(rate => rate !== null))
    throw new Refusal('usage', 'the --tier options need --tier-above N: the tokens of prompt above which they hold')
  const { input, output, cacheWrite5m = null, cacheWrite30m = null, cacheRead = null } = options
  const { cacheWrite1h = null, cacheWrite12h = null } = options
  const tier = { ...noRates, input: tierInput, output: tierOutput, cacheRead: tierCacheRead }
  return {
    model: model.toLowerCase(),
    vendor: null,
    layer: 'operator',
    from: (options.from ?? new Date()).getTime(),
    rates: { input, output, cacheWrite5m, cacheWrite30m, cacheWrite1h, cacheWrite12h, cacheRead },
    tier: tierAbove === undefined ? null : { above: tierAbove, ...tier },
    modes: options.mode ?? new Map(),
    geo: options.geo ?? new Map(),
    webSearch: options.webSearch ?? null,
    source: 'gw price set',
    embedding: options.embedding ?? false,
    accepted: false,
  }
}

// LiteLLM's table is about 2 MB and grows.
const LARGEST = 16 * 1024 * 1024

/** The text of a file of prices, which may be larger than other files; `-` is stdin. @throws Refusal `usage` */
export async function contents(shell: Shell, file: string): Promise<string> {
  try {
    if (file !== '-') return readNamed(path.resolve(shell.cwd(), file), LARGEST)
    return await readStream(shell.stdin, LARGEST)
  } catch (error) {
    throw new Refusal('usage', `${file === '-' ? 'stdin' : file} cannot be read: ${why(error)}`, { cause: error })
  }
}
