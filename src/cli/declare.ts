// What several commands declare alike: examples, and the options of verbs that write.
import type { Command } from 'commander'

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
