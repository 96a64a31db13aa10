// What several commands declare alike: examples, the options of verbs that write, and those of lists.
import type { Command } from 'commander'
import { Refusal } from '../lib/refusal.ts'
import { type Format, formats } from './format.ts'
import * as read from './values.ts'

/** Shows example lines above the usage, because that is what people look for first. */
export function examples(command: Command, lines: readonly string[]): Command {
  return command.addHelpText('before', `Examples:\n${lines.map(line => `  ${line}`).join('\n')}\n`)
}

/** A verb that changes something. */
export function writes(command: Command): Command {
  return command.option('--dry-run', 'validate and print the result, change nothing')
}

/** A verb that cannot be undone. */
export function destroys(command: Command): Command {
  return writes(command).option('--yes', 'do not ask')
}

/** A verb that lists something. */
export function lists(command: Command): Command {
  // Not a word alone: another command may have an --output that names a file.
  const format = (text: string) => ({ format: read.oneOf('-o', formats)(text) as Format })
  return command
    .option('-o, --output <format>', `${formats.join(', ')}; default: table`, format)
    .option('--columns <names>', 'only these, in this order, separated by commas', columns)
    .option('--no-headers', 'no heading: for scripts')
}

function columns(text: string): string[] {
  const names = text.split(',').map(name => name.trim())
  if (names.some(name => name === ''))
    throw new Refusal('usage', '--columns must be names separated by commas, such as at,user,cost')
  return names
}
