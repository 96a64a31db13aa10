// gw help: pages that belong to no single command; help on commands is the business of main.ts.
import type { Command } from 'commander'
import { Refusal } from '../../lib/refusal.ts'
import { didYouMean } from '../../lib/suggest.ts'
import type { Act } from '../command.ts'
import { pages } from '../topics.ts'

export function define(noun: Command, act: Act): void {
  noun
    .description('Shows help on a command, or one of the pages below.')
    .argument('[words...]', 'a command such as "user add", or a page')
    .addHelpText('after', `\nPages: ${Object.keys(pages).join(' ')}`)
    .action(
      act(async (gw, words: string[]) => {
        const topic = words.join(' ')
        const page = Object.hasOwn(pages, topic) ? pages[topic] : undefined
        if (page === undefined) {
          const near = didYouMean(topic, Object.keys(pages))
          throw new Refusal('usage', `no page "${topic}"${near} (gw --help shows all commands and pages)`)
        }
        gw.out.print({ topic, text: page() }, page())
      }),
    )
}
