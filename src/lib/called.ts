// How this gw was called, for texts that tell what to type next.

/** `gw`, `npx gw`, or the path that was typed; `more` are options that the next command needs too. */
export function called(env: NodeJS.ProcessEnv, more: readonly string[] = []): string {
  // bin/gw says it, which a shell runs; npx runs that, by a path of its own.
  const name = env['npm_lifecycle_event'] === 'npx' ? 'npx gw' : quoted(env['gw_called'] ?? 'gw')
  return [name, ...more.map(quoted)].join(' ')
}

const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)
