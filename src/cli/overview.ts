// What `gw --help` prints, made from the table of nouns.
import { nouns } from './nouns.ts'
import { pages } from './topics.ts'

const examples = [
  ['gw serve --demo', 'the whole product at once, no provider key needed'],
  ['gw account add main --platform anthropic --api-key-file key.txt', ''],
  ['gw key create --user alice --group anthropic', ''],
  ['gw usage stats --by model --since 7d', ''],
] as const

/** Options that every command takes, before or after its words. */
export const everywhere = [
  ['--config <file>', 'read this gw.yaml and no other'],
  ['--data-dir <dir>', 'folder of the embedded database, key file and control socket'],
  ['--json', 'print one JSON document on stdout'],
  ['--no-color', 'plain text; NO_COLOR and TERM=dumb do the same'],
  ['--debug', 'show the stack trace of an error'],
] as const

/** The text, without a final newline. */
export function overview(): string {
  const out = ['gw: a reverse proxy for AI providers', '', 'Examples']
  for (const [command, what] of examples) out.push(`  ${what ? command.padEnd(22) + what : command}`)
  for (const [group, entries] of Map.groupBy(Object.entries(nouns), ([, noun]) => noun.group)) {
    out.push('', group)
    for (const [word, noun] of entries) out.push(`  ${word.padEnd(10)}${noun.summary}`)
  }
  out.push('', 'Options of every command')
  for (const [flag, text] of everywhere) out.push(`  ${flag.padEnd(18)}${text}`)
  out.push(`  ${'-h, --help'.padEnd(18)}help on a command: gw user add --help`)
  out.push('', `gw help ${Object.keys(pages).join(' | ')}`)
  return out.join('\n')
}
