// The proof that commands may be tested in this process: the real bin/gw says the same, to the byte.
import t from 'tap'
import { freshDatabase } from '../helpers/database.ts'
import { each, type Home, home, type Line, type Ran } from './gw.ts'

interface Case {
  line: Line
  stdin?: string
  code?: number
}

/** What differs between two runs by nature: folders, databases, times, and ids and keys, of which no two are alike. */
function tame(text: string, { folder, env }: Home): string {
  return (
    text
      .replaceAll(env['GW_DATABASE_URL']!, 'DATABASE')
      .replaceAll(folder, 'FOLDER')
      .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'UUID')
      .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
      // Before times: a key may be sk-1234567d….
      .replaceAll(/sk-[\w-]{8,}(…|\.\.\.)?/g, 'KEY')
      .replaceAll(/\b(now|\d+[smhd] ago|\d+[smhd](\d+[mh])?)\b */g, 'AGO ')
      .replaceAll(/"prefix": "[^"]+"/g, 'PREFIX')
  )
}

t.test('a command says the same in this process and in one of its own', async t => {
  const make = async () => {
    const made = await home(t, { GW_DATABASE_URL: await freshDatabase(t) })
    await made.file('key.txt', 'sk-upstream\n')
    await made.file('bad.yaml', 'listne: x\nlog:\n  level: loud\n')
    return made
  }
  const [here, apart] = [await make(), await make()]
  const same = async ({ line, stdin, code = 0 }: Case) => {
    const options = stdin === undefined ? {} : { stdin }
    const [inside, outside] = await Promise.all([here.gw(line, options), apart.spawned(line, options)])
    const told = (ran: Ran, of: Home) => ({
      code: ran.code,
      stdout: tame(ran.stdout, of),
      stderr: tame(ran.stderr, of),
    })
    t.strictSame(told(inside, here), told(outside, apart), `gw ${typeof line === 'string' ? line : line.join(' ')}`)
    t.equal(outside.code, code)
    t.not(outside.stdout + outside.stderr, '')
  }

  // In their order: each finds what those before it made, under the same numbers.
  const writes: Case[] = [
    { line: 'user add alice --balance 12.5' },
    { line: 'user add bob --json' },
    { line: 'group add team --platform anthropic --multiplier 1.5' },
    // From where it is called.
    { line: 'account add main --platform anthropic --group team --api-key-file key.txt' },
    { line: 'account add two --platform anthropic --group team --api-key-stdin --json', stdin: 'sk-from-stdin\n' },
    { line: 'key create --user alice --group team --name first --json' },
    { line: ['user', 'topup', 'alice', '3', '--note', 'an order, paid'] },
    { line: 'price import - --dry-run', stdin: '{"format": 1, "prices": [{"model": "own", "input": 1, "output": 2}]}' },
    { line: 'user rm bob --yes' },
  ]
  for (const one of writes) await same(one)

  const reads: Case[] = [
    { line: '' },
    { line: 'help money' },
    { line: '--version' },
    { line: 'user add --help' },
    { line: 'user', code: 2 },
    { line: 'usr list', code: 2 },
    { line: 'user add x --balanc 3', code: 2 },
    { line: 'config check --config bad.yaml', code: 3 },
    { line: 'config show --origin' },
    { line: 'ping', code: 4 },
    { line: 'user rm alice', code: 5 },
    { line: 'user show alic', code: 6 },
    { line: 'user add alice', code: 7 },
    { line: 'user list' },
    { line: 'account list --json' },
    { line: 'key list' },
    { line: 'ledger show --user alice --json' },
    { line: 'usage stats --json' },
    { line: 'usage export' },
    { line: 'price show claude-sonnet-4-5' },
    { line: 'db status --json' },
  ]
  await each(reads, same)
})
