// Secrets that somebody gives as an argument, where `ps` and the shell's history see them: what to do in their place.
import type { Command } from 'commander'
import { mask } from '../lib/credentials.ts'

// Said for any of them.
const anySecret = /^(secret|password|passwd|pass|token|access-token|auth|credentials?|key|apikey|api_key|bearer)$/

/**
 * The complaint about an option that a command does not have, without the value that came with it: of a secret it points to the
 * options that read it from elsewhere; undefined where it is none.
 */
export function secretHint(command: Command, flag: string): string | undefined {
  const name = flag.replace(/^-+/, '').toLowerCase()
  const elsewhere = command.options.flatMap(({ long, flags }) => {
    const of = /^--(.+)-(file|stdin)$/.exec(long ?? '')?.[1]
    return of === undefined ? [] : [{ of, flags: flags.toUpperCase().replace(long!.toUpperCase(), long!) }]
  })
  const exact = elsewhere.filter(({ of }) => of === name)
  const meant = exact.length > 0 ? exact : anySecret.test(name) ? elsewhere : []
  if (meant.length === 0) return undefined
  const ways = meant.map(({ flags }) => flags.replace(/[<>]/g, '')).join(' or ')
  return `a secret is no argument, since ps and the shell's history would see it; give it with ${ways}`
}

/** The flag in commander's complaint, without its value. */
export const unknownFlag = (message: string): string | undefined => /unknown option '(-[^'=]*)/.exec(message)?.[1]

/** A complaint that quotes what was typed, without what looks like a secret in it. */
export const unquoted = (message: string): string => mask(message.replace(/(unknown option '-[^'=]*)=[^']*'/, "$1'"))
