// Runs one command: commander reads the words, an invocation lends what the work needs and takes it back.

import { Command, CommanderError } from 'commander'
import { Refusal } from '../lib/refusal.ts'
import type { Act, CommandModule, Work } from './command.ts'
import { Interrupted } from './errors.ts'
import { type Globals, openInvocation } from './invocation.ts'
import { everywhere } from './overview.ts'
import { secretHint, unknownFlag, unquoted } from './secret-flags.ts'
import type { Shell, Signal } from './shell.ts'

/** `args` is the command line without the noun. @returns the exit code */
export async function run(word: string, module: CommandModule, args: readonly string[], shell: Shell): Promise<number> {
  let code = 0
  const noun = define(word, module, shell, work => async (...given) => {
    const command = given.pop() as Command
    const signals = listen(shell)
    try {
      const gw = openInvocation(command.optsWithGlobals<Globals>(), shell, { ownSignals: signals.stop })
      try {
        const result = await Promise.race([(work as Work<unknown[]>)(gw, ...given), signals.interrupted, gw.deaf])
        if (typeof result === 'number') code = result
      } catch (error) {
        await gw.close(error instanceof Interrupted)
        throw error
      }
      await gw.close()
    } finally {
      signals.stop()
    }
  })

  const end = args.indexOf('--')
  const words = end === -1 ? args : args.slice(0, end)
  const { command, name } = deepest(noun, words)
  if (words.includes('-h') || words.includes('--help')) {
    command.outputHelp()
    return 0
  }
  try {
    await noun.parseAsync(args, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    // A noun without its verb: commander has shown the help, on stderr.
    if (error.code === 'commander.help') return 2
    const flag = unknownFlag(error.message)
    const hint = flag === undefined ? undefined : secretHint(command, flag)
    const complaint = hint === undefined ? oneLine(unquoted(error.message)) : `${flag}: ${hint}`
    throw new Refusal('usage', `${complaint} (${name} --help shows what is allowed)`)
  }
  return code
}

/** The noun as a program of its own, so that options may stand before and after its words. */
export function define(word: string, module: CommandModule, shell: Shell, act: Act): Command {
  const { stdout, stderr } = shell
  const noun = new Command(`gw ${word}`)
    .exitOverride()
    .showSuggestionAfterError()
    .helpCommand(false)
    .configureHelp({ showGlobalOptions: true, helpWidth: Math.min(stdout.columns ?? 100, 120) })
    .configureOutput({
      writeOut: text => void stdout.write(text),
      writeErr: text => void stderr.write(text),
      outputError: () => {},
    })
  module.define(noun, act)
  for (const [flag, text] of everywhere) noun.option(flag, text)
  return noun
}

/** The command that the words lead to, and how it is called. */
function deepest(noun: Command, words: readonly string[]): { command: Command; name: string } {
  let command = noun
  let name = noun.name()
  for (const word of words) {
    const verb = command.commands.find(one => one.name() === word)
    if (verb === undefined) continue
    command = verb
    name += ` ${word}`
  }
  return { command, name }
}

function oneLine(message: string): string {
  return message
    .replace(/^error: /, '')
    .replace(/\n\((Did you mean) (.*)\?\)$/s, '; did you mean $2?')
    .replaceAll(/\s*\n\s*/g, ' ')
}

/** The first signal interrupts the work, and what is open is closed; a second one ends it at once. */
function listen(shell: Shell) {
  const { promise: interrupted, reject } = Promise.withResolvers<never>()
  // The race is over when a signal comes during close(): its rejection must not count as unhandled.
  interrupted.catch(() => {})
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  let first = true
  const listener = (signal: NodeJS.Signals) => {
    const error = new Interrupted(signal as Signal)
    if (!first) shell.exit(error.code)
    first = false
    reject(error)
  }
  for (const name of names) shell.on(name, listener)
  return {
    interrupted,
    stop() {
      for (const name of names) shell.off(name, listener)
    },
  }
}
