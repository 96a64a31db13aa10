// Proofs of reasoning in what passes: found wherever bytes are cut, and left out of a conversation without another byte moving.
import t from 'tap'
import { messages } from '../../src/dialect/messages/messages.ts'
import { peekMessages } from '../../src/dialect/messages/peek.ts'
import type { Issuer } from '../../src/dialect/middle/form.ts'
import { digestOf, editsFor } from '../../src/dialect/middle/proofs.ts'
import { enclose } from '../../src/dialect/middle/seal.ts'

const frame = (type: string, rest: object) => `event: ${type}\ndata: ${JSON.stringify({ type, ...rest })}\n\n`
const delta = (delta: object) => frame('content_block_delta', { index: 0, delta })
const stream = [
  frame('content_block_start', { index: 0, content_block: { type: 'thinking', thinking: '', signature: '' } }),
  delta({ type: 'thinking_delta', thinking: 'a \\"signature": "no" and "signature":"no"' }),
  delta({ type: 'signature_delta', signature: 'Sig/1+==' }),
  frame('content_block_start', { index: 1, content_block: { type: 'redacted_thinking', data: 'Red/2==' } }),
  delta({ type: 'text_delta', text: '"data":"no"' }),
].join('')

function read(pieces: readonly Buffer[]): readonly string[] {
  const reader = messages.proofReader!()
  for (const piece of pieces) reader.push(piece)
  return reader.found
}

t.test('an answer’s proofs are learnt wherever it is cut', async t => {
  const bytes = Buffer.from(stream)
  const expected = ['Sig/1+==', 'Red/2==']
  const wrong: number[] = []
  for (let at = 0; at <= bytes.length; at++)
    if (String(read([bytes.subarray(0, at), bytes.subarray(at)])) !== String(expected)) wrong.push(at)
  t.strictSame(wrong, [], 'in two pieces')
  t.strictSame(read(Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))), expected, 'byte by byte')
  const whole = {
    content: [
      { type: 'thinking', thinking: 'x', signature: 'Sig/1+==' },
      { type: 'redacted_thinking', data: 'Red/2==' },
    ],
  }
  t.strictSame(read([Buffer.from(JSON.stringify(whole))]), expected, 'of a whole answer')
  t.strictSame(read([Buffer.from(JSON.stringify(whole, null, 2))]), expected, 'however it is written')
  t.strictSame(read([Buffer.from('{"signature": 5, "signature" : "a\\/b"')]), ['a/b'], 'with escapes')
})

t.test('an answer in which much looks like a proof costs no more than its bytes', async t => {
  const many = Buffer.from('{"signature":"a"},'.repeat(100_000))
  t.equal(read([many]).length, 4096, 'and not all of it is kept')
  t.strictSame(
    read([Buffer.from('"signature":"'), Buffer.alloc(5_000_000, 65), Buffer.from('"')]),
    [],
    'nor what is no proof',
  )
})

const thinking = (signature: string) => ({ type: 'thinking', thinking: 'hm', signature })
const text = (said: string) => ({ type: 'text', text: said })
const use = { type: 'tool_use', id: 't', name: 'f', input: { signature: 'not me', big: 1e21 } }
const user = { role: 'user', content: 'q' }
const assistant = (...content: object[]) => ({ role: 'assistant', content })
const result = { role: 'user', content: [{ type: 'tool_result', tool_use_id: 't', content: 'r' }] }

const cases: {
  what: string
  messages: object[]
  edits: [string, string | undefined][]
  expected: object[]
  thinking?: object
  told?: object
}[] = [
  {
    what: 'the first block of a message',
    messages: [user, assistant(thinking('A'), text('x')), user],
    edits: [['A', undefined]],
    expected: [user, assistant(text('x')), user],
  },
  {
    what: 'the last one, and two in a row',
    messages: [assistant(text('x'), thinking('A'), { type: 'redacted_thinking', data: 'B' })],
    edits: [
      ['A', undefined],
      ['B', undefined],
    ],
    expected: [assistant(text('x'))],
  },
  {
    what: 'between others, and those of others stay',
    messages: [assistant(thinking('A'), thinking('B'), text('x'), thinking('C'))],
    edits: [['B', undefined]],
    expected: [assistant(thinking('A'), text('x'), thinking('C'))],
  },
  {
    what: 'a message that is nothing else goes, wherever it stands',
    messages: [assistant(thinking('A')), user, assistant(thinking('A'), thinking('B')), user, assistant(thinking('B'))],
    edits: [
      ['A', undefined],
      ['B', undefined],
    ],
    expected: [user, user],
  },
  {
    what: 'what goes as a whole has no other edit',
    messages: [user, assistant(thinking('A'), thinking('B')), user],
    edits: [
      ['A', undefined],
      ['B', undefined],
      ['C', 'D'],
    ],
    expected: [user, user],
  },
  {
    what: 'another proof in its place',
    messages: [user, assistant(thinking('A'), text('x'))],
    edits: [['A', 'native/+"']],
    expected: [user, assistant(thinking('native/+"'), text('x'))],
  },
  {
    what: 'a step under way that begins with no thought any more is thought through without a budget',
    messages: [user, assistant(thinking('A'), use), result],
    edits: [['A', undefined]],
    thinking: { type: 'enabled', budget_tokens: 2000 },
    expected: [user, assistant(use), result],
    told: { type: 'disabled' },
  },
  {
    what: 'but not a step that is over, nor one that is adaptive',
    messages: [user, assistant(thinking('A'), use), result, assistant(thinking('B'), use), result],
    edits: [['A', undefined]],
    thinking: { type: 'enabled', budget_tokens: 2000 },
    expected: [user, assistant(use), result, assistant(thinking('B'), use), result],
    told: { type: 'enabled', budget_tokens: 2000 },
  },
]

t.test('blocks are left out of a conversation', async t => {
  for (const { what, messages, edits, expected, thinking, told } of cases)
    for (const indent of [undefined, 2]) {
      const rest = { model: 'm', ...(thinking ? { thinking } : {}), messages, z: 1 }
      const body = Buffer.from(JSON.stringify(rest, null, indent))
      const peek = peekMessages(body)
      const { pieces, bytes } = peek.mapped('other', new Map(edits))
      const out = Buffer.concat(pieces)
      t.equal(out.length, bytes)
      t.strictSame(
        JSON.parse(out.toString()),
        { ...rest, model: 'other', messages: expected, ...(told ? { thinking: told } : {}) },
        what,
      )
    }
})

t.test('trap 58: a conversation that needs no edit has none', async t => {
  const body = Buffer.from(
    '{"model":"m","messages":[{"role":"assistant","content":[{"signature":"A", "type":"thinking","thinking":"\\u00e9"}]}],"n":12345678901234567890}',
  )
  const peek = peekMessages(body)
  t.strictSame(peek.proofs!(), ['A'])
  for (const edits of [undefined, new Map(), new Map([['B', undefined]])]) {
    const { pieces } = peek.mapped('m', edits)
    t.equal(Buffer.concat(pieces).compare(body), 0)
  }
  t.strictSame(peekMessages(Buffer.from('{"model":"m","messages":[]}')).proofs!(), [])
})

t.test('trap 12: a proof goes to whoever issued it, and to nobody else', async t => {
  const me: Issuer = { platform: 'anthropic', scope: '11111111', model: 'claude-x-1' }
  const other = { ...me, scope: '22222222' }
  const ours = (issuer: Issuer, value: string | undefined) => enclose({ issuer, value, text: 'hm', callId: '' })
  const mine = ours(me, 'NATIVE')
  const foreign = ours({ ...me, platform: 'openai' }, 'X')
  const unproven = ours(me, undefined)
  const broken = `${mine.slice(0, -1)}x`
  const known = new Map([
    [digestOf('of-me'), me],
    [digestOf('of-another'), other],
  ])
  const edits = editsFor([mine, foreign, unproven, broken, 'of-me', 'of-another', 'unknown'], me, digest =>
    known.get(digest),
  )
  t.strictSame(
    [...edits],
    [
      [mine, 'NATIVE'],
      [foreign, undefined],
      [unproven, undefined],
      [broken, undefined],
      ['of-another', undefined],
    ],
  )
})
