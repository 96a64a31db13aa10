// What a person types: finds the noun, loads its module, and turns whatever happens into an exit code.
import { Refusal } from '../lib/refusal.ts'
import { didYouMean } from '../lib/suggest.ts'
import { Interrupted, report } from './errors.ts'
import { nouns } from './nouns.ts'
import type { Shell } from './shell.ts'
import { pages } from './topics.ts'

/**
 * Runs one command line (without `node` and the script) for whoever calls, by default this process.
 * @returns the exit code; errors are already on stderr
 */
export async function main(argv: readonly string[], shell: Shell = process): Promise<number> {
  // `gw usage list | head` closes the pipe early: that is the reader's right and nobody's error. So is a terminal that is closed.
  for (const stream of [shell.stdout, shell.stderr])
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error
    })
  try {
    return await dispatch(argv, shell)
  } catch (error) {
    const code = report(error, shell, { debug: ours(argv).includes('--debug') })
    // What was interrupted may hold the process open: a read of stdin, a request under way.
    if (error instanceof Interrupted) shell.exit(code)
    return code
  }
}

async function dispatch(argv: readonly string[], shell: Shell): Promise<number> {
  const at = nounAt(argv)
  const help = ours(argv).some(isHelp)
  if (at === -1) {
    if (argv.some(arg => arg === '--version' || arg === '-V')) return runNoun('version', [], shell)
    const stray = help ? undefined : argv.find(arg => !known.test(arg))
    if (stray !== undefined) throw new Refusal('usage', `unknown option "${stray}" (gw --help shows all)`)
    return printOverview(shell)
  }
  const word = argv[at]!
  const rest = argv.toSpliced(at, 1)
  if (word === 'help') {
    const stray = rest.find(arg => arg.startsWith('-') && !known.test(arg) && !isHelp(arg))
    if (stray !== undefined) throw new Refusal('usage', `unknown option "${stray}" (gw help takes a command or a page)`)
    const page = nounAt(rest)
    if (page === -1) return help ? runNoun('help', rest, shell) : printOverview(shell)
    // `gw help user add` is `gw user add --help`; where a page has a command's name, "config", the page tells more.
    const isPage = Object.hasOwn(pages, rest[page]!) && nounAt(rest.toSpliced(page, 1)) === -1
    if (!isPage && Object.hasOwn(nouns, rest[page]!))
      return runNoun(rest[page]!, [...rest.toSpliced(page, 1), '--help'], shell)
  }
  return runNoun(word, rest, shell)
}

async function runNoun(word: string, args: readonly string[], shell: Shell): Promise<number> {
  if (!Object.hasOwn(nouns, word)) {
    throw new Refusal('usage', `no command "${word}"${didYouMean(word, Object.keys(nouns))} (gw --help shows all)`)
  }
  const { run } = await import('./run.ts')
  return run(word, await nouns[word]!.load(), args, shell)
}

async function printOverview({ stdout }: Shell): Promise<number> {
  const { overview } = await import('./overview.ts')
  stdout.write(`${overview()}\n`)
  return 0
}

const known = /^(--config|--data-dir)(=|$)|^(--json|--no-color|--debug)$/

/** Where the first word is that is neither an option nor the value of one; -1 when there is none. */
function nounAt(argv: readonly string[]): number {
  for (let i = 0; i < argv.length; i++) {
    if (argv[i] === '--config' || argv[i] === '--data-dir') i++
    else if (!argv[i]!.startsWith('-')) return i
  }
  return -1
}

const isHelp = (arg: string) => arg === '-h' || arg === '--help'

/** What may hold options of ours: after `--` everything is data. */
function ours(argv: readonly string[]): readonly string[] {
  const end = argv.indexOf('--')
  return end === -1 ? argv : argv.slice(0, end)
}
