// A conversation is repaired as vendors need it, and what it says stays what it says.
import t from 'tap'
import { dropForeign } from '../../src/dialect/middle/ext.ts'
import type { Ask, Json, Part, Turn } from '../../src/dialect/middle/form.ts'
import { Notes } from '../../src/dialect/middle/notes.ts'
import { type Repairs, repaired } from '../../src/dialect/middle/turns.ts'
import { Failure } from '../../src/lib/failure.ts'

const claude: Repairs = { legal: 'a-zA-Z0-9_-', max: 128, prefix: 'toolu_g', merge: ['user', 'assistant'] }
const chat: Repairs = { legal: 'a-zA-Z0-9_-', max: 40, prefix: 'call_g', merge: ['assistant'] }
const apart: Repairs = { legal: 'a-zA-Z0-9_-', max: 64, prefix: 'call_g', merge: [] }

const text = (said: string): Part => ({ type: 'text', text: said })
const call = (id: string, name = 'f'): Part => ({ type: 'call', id, name, input: { json: '{}' as Json } })
const result = (callId: string, said: string, name?: string): Part => ({
  type: 'result',
  callId,
  parts: [{ type: 'text', text: said }],
  error: false,
  ...(name ? { name } : {}),
})
const user = (...parts: Part[]): Turn => ({ role: 'user', parts })
const assistant = (...parts: Part[]): Turn => ({ role: 'assistant', parts })
const system = (...parts: Part[]): Turn => ({ role: 'system', parts })

/** A turn in a line: `assistant f#c1`, `user c1="ok" "next"`. */
function told(turns: readonly Turn[]): string[] {
  const said = (part: Part): string => {
    switch (part.type) {
      case 'text':
        return JSON.stringify(part.text)
      case 'call':
        return `${part.name}#${part.id}`
      case 'result':
        return `${part.callId}${part.error ? '!' : ''}=${part.parts.map(said).join('+')}`
      default:
        return part.type
    }
  }
  return turns.map(({ role, parts }) => `${role} ${parts.map(said).join(' ')}`)
}

const long = `call_${'x'.repeat(60)}`
const cases: { what: string; by?: Repairs; turns: Turn[]; expected: string[] }[] = [
  {
    what: 'what is right stays as it is',
    turns: [user(text('q')), assistant(text('on it'), call('a'), call('b')), user(result('a', '1'), result('b', '2'))],
    expected: ['user "q"', 'assistant "on it" f#a f#b', 'user a="1" b="2"'],
  },
  {
    what: 'trap 9: blank texts are left out, whitespace too, and turns that become empty',
    turns: [user(text('q')), assistant(text(' \n')), user(text(''), text('\t')), assistant(text('')), user(text('r'))],
    expected: ['user "q" "r"'],
  },
  {
    what: 'trap 9: also in results, which may be empty',
    turns: [assistant(call('a')), user(result('a', ' '))],
    expected: ['assistant f#a', 'user a='],
  },
  {
    what: 'trap 38: ids that are used again are made unique, pairs kept',
    turns: [
      assistant(call('call_1')),
      user(result('call_1', 'ok')),
      assistant(call('call_1')),
      user(result('call_1', 'ok2'), text('next')),
    ],
    expected: ['assistant f#call_1', 'user call_1="ok"', 'assistant f#call_1_2', 'user call_1_2="ok2" "next"'],
  },
  {
    what: 'trap 38: also beside the id that would be made of it, and twice in one turn',
    turns: [
      assistant(call('a_2'), call('a')),
      user(result('a', '2'), result('a_2', '1')),
      assistant(call('a'), call('a')),
      user(result('a', '3'), result('a', '4')),
    ],
    expected: ['assistant f#a_2 f#a', 'user a_2="1" a="2"', 'assistant f#a_3 f#a_4', 'user a_3="3" a_4="4"'],
  },
  {
    what: 'trap 38: ids get legal characters only, and two that differ stay two',
    turns: [assistant(call('x:1'), call('x.1')), user(result('x.1', 'two'), result('x:1', 'one'))],
    expected: ['assistant f#x_1_0b788078 f#x_1_4598734b', 'user x_1_0b788078="one" x_1_4598734b="two"'],
  },
  {
    what: 'trap 39: ids that are too long are shortened, on both sides alike',
    by: chat,
    turns: [assistant(call(long), call(`${long}y`)), user(result(`${long}y`, '2')), user(result(long, '1'))],
    expected: [
      `assistant f#call_${'x'.repeat(26)}_b8823c91 f#call_${'x'.repeat(26)}_59fda39c`,
      `user call_${'x'.repeat(26)}_b8823c91="1" call_${'x'.repeat(26)}_59fda39c="2"`,
    ],
  },
  {
    what: 'trap 40: results in several turns are one turn, in the order of the calls, before what else was said',
    turns: [
      assistant(call('a'), call('b')),
      user(text('hurry'), result('b', '2')),
      user(result('a', '1')),
      user(text('now')),
    ],
    expected: ['assistant f#a f#b', 'user a="1" b="2" "hurry" "now"'],
  },
  {
    what: 'trap 42: what lies between a call and its result is moved before the call',
    turns: [user(text('fix')), assistant(call('c1')), assistant(text('Looking.')), user(result('c1', 'a.txt'))],
    expected: ['user "fix"', 'assistant "Looking." f#c1', 'user c1="a.txt"'],
  },
  {
    what: 'trap 42: a result that comes late is brought to its call',
    turns: [
      assistant(call('a'), call('b')),
      user(result('a', '1')),
      assistant(text('hm')),
      user(result('b', '2'), text('go')),
    ],
    expected: ['assistant f#a f#b', 'user a="1" b="2"', 'assistant "hm"', 'user "go"'],
  },
  {
    what: 'trap 42: without merging, calls that were made at once stay so',
    by: apart,
    turns: [
      assistant(call('a')),
      assistant(text('x')),
      assistant(call('b')),
      user(result('b', '2')),
      user(result('a', '1')),
    ],
    expected: ['assistant f#a', 'assistant "x"', 'assistant f#b', 'user a="1" b="2"'],
  },
  {
    what: 'trap 46: a system turn stays where it is, but for results that must come before it',
    turns: [
      user(text('q')),
      system(text('first')),
      assistant(call('a')),
      system(text('careful')),
      user(result('a', '1'), text('and hurry')),
      assistant(text('done')),
    ],
    expected: [
      'user "q"',
      'system "first"',
      'assistant f#a',
      'user a="1"',
      'system "careful"',
      'user "and hurry"',
      'assistant "done"',
    ],
  },
  {
    what: 'trap 47: calls without ids are paired by order, and by name',
    turns: [
      assistant(call('', 'f'), call('', 'g'), call('', 'f')),
      user(result('', 'g1', 'g'), result('', 'f1', 'f'), result('', 'f2', 'f')),
      assistant(call('', 'f')),
      user(result('', 'f3')),
    ],
    expected: [
      'assistant f#toolu_g1 g#toolu_g2 f#toolu_g3',
      'user toolu_g1="f1" toolu_g2="g1" toolu_g3="f2"',
      'assistant f#toolu_g4',
      'user toolu_g4="f3"',
    ],
  },
  {
    what: 'trap 47: also where only one side has ids',
    turns: [assistant(call('a', 'f'), call('', 'g')), user(result('zz', '2', 'g'), result('', '1', 'f'))],
    expected: ['assistant f#a g#toolu_g2', 'user a="1" toolu_g2="2"'],
  },
  {
    what: 'a call without a result gets an error, one without a call is told as text',
    turns: [assistant(call('a'), call('b')), user(result('b', '2'), result('b', 'again'), result('zz', 'lost', 'f'))],
    expected: [
      'assistant f#a f#b',
      'user a!="no result was given" b="2" "Result of a call that is no longer there:\\nagain" "Result of a call of f that is no longer there:\\nlost"',
    ],
  },
  {
    what: 'a result is never given to a call that comes after it',
    turns: [user(result('a', 'early')), assistant(call('a'))],
    expected: [
      'user "Result of a call that is no longer there:\\nearly"',
      'assistant f#a',
      'user a!="no result was given"',
    ],
  },
]

t.test('a conversation is repaired', async t => {
  for (const { what, by = claude, turns, expected } of cases) {
    const before = JSON.stringify(turns)
    const { turns: got } = repaired(turns, by)
    t.strictSame(told(got), expected, what)
    t.equal(JSON.stringify(turns), before, 'what was given is left alone')
    t.strictSame(told(repaired(got, by).turns), expected, 'once more changes nothing')
  }
})

t.test('what is added to a conversation changes nothing before it', async t => {
  for (const { what, by = claude, turns } of cases) {
    const all = told(repaired(turns, by).turns)
    const more = told(repaired([...turns, assistant(call('a'), call('')), user(result('a', 'new'))], by).turns)
    // Of the last turn what follows may be a part.
    t.strictSame(more.slice(0, Math.max(0, all.length - 2)), all.slice(0, -2), what)
  }
})

t.test('the client’s own id of a call is known', async t => {
  const { said } = repaired([assistant(call('x:1'), call('a'), call('')), assistant(call('a'))], claude)
  t.strictSame(['x_1_0b788078', 'a', 'toolu_g3', 'a_2'].map(said), ['x:1', 'a', '', 'a'])
})

t.test('a breakpoint of the cache on a blank text goes to what is before it', async t => {
  const { turns } = repaired([user(text('q'), { type: 'text', text: ' ', cache: '1h' })], claude)
  t.strictSame(turns, [user({ type: 'text', text: 'q', cache: '1h' })])
})

t.test('many calls under one id, and many results without a call, take no time', async t => {
  const n = 10_000
  const calls = Array.from({ length: n }, () => call('a'))
  const { turns } = repaired(
    [assistant(...calls), ...Array.from({ length: 2 * n }, () => user(result('a', '1')))],
    claude,
  )
  t.equal(turns[1]?.parts.length, 2 * n)
  t.equal(told(turns)[1]?.split(`a_${n}=`).length, 2)
})

t.test('fields of another dialect are named, but for those that nobody misses', async t => {
  const json = (value: unknown) => JSON.stringify(value) as Json
  const ask: Ask = {
    dialect: 'responses',
    model: 'm',
    stream: false,
    system: [],
    turns: [{ role: 'user', parts: [{ type: 'text', text: 'q', ext: { responses: { note: json(1) } } }] }],
    tools: [{ kind: 'function', name: 'f', ext: { responses: { async: json(true) } } }],
    choice: 'auto',
    sampling: {},
    limits: { stop: [] },
    cache: {},
    held: [],
    wants: { usage: true, reasoning: true },
    ext: {
      responses: { client_metadata: json({ k: 1 }), store: json(false), include: json(['x']) },
      messages: { own: json(1) },
    },
  }
  const notes = new Notes()
  dropForeign(ask, 'messages', notes)
  t.strictSame(notes.tokens, ['client_metadata', 'input.note', 'tools.async'])
  const stored = new Notes()
  dropForeign({ ...ask, ext: { responses: { store: json(true), said: json(1) } } }, 'messages', stored, ['said'])
  t.strictSame(stored.tokens, ['input.note', 'store', 'tools.async'])
  t.throws(() => dropForeign({ ...ask, ext: { messages: { mcp_servers: json([]) } } }, 'chat', notes), Failure)
})
