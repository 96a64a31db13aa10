// Compaction: Codex asks for it as it would ask OpenAI, and any platform gives it.
import t from 'tap'
import { translate } from '../helpers/translate.ts'

// biome-ignore lint/suspicious/noExplicitAny: whatever a body holds
type Json = Record<string, any>

// A request of Codex (0.171, to its built-in provider), cut down.
const compacting = {
  model: 'claude-sonnet-4-6',
  stream: true,
  instructions: 'You are Codex.',
  tools: [{ type: 'function', name: 'exec_command', parameters: { type: 'object', properties: {} } }],
  tool_choice: 'auto',
  input: [
    { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'read a.txt' }] },
    { type: 'function_call', call_id: 'c1', name: 'exec_command', arguments: '{"cmd":"cat a.txt"}' },
    { type: 'function_call_output', call_id: 'c1', output: 'alpha' },
    { type: 'compaction_trigger' },
  ],
}
const said = (event: string, data: object) => `event: ${event}\ndata: ${JSON.stringify({ type: event, ...data })}\n\n`
const claude = (...blocks: [string, string][]) =>
  Buffer.from(
    said('message_start', { message: { id: 'msg_1', model: 'up', usage: { input_tokens: 9, output_tokens: 1 } } }) +
      blocks
        .map(([type, text], index) => {
          const [block, delta] =
            type === 'thinking'
              ? [
                  { type, thinking: '', signature: '' },
                  { type: 'thinking_delta', thinking: text },
                ]
              : [
                  { type, text: '' },
                  { type: 'text_delta', text },
                ]
          return (
            said('content_block_start', { index, content_block: block }) +
            said('content_block_delta', { index, delta }) +
            said('content_block_stop', { index })
          )
        })
        .join('') +
      said('message_delta', { delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 7 } }) +
      said('message_stop', {}),
  )
/** Items and the end, as Codex counts them. */
const heard = (out: string): Json[] =>
  [...out.matchAll(/^data: (.*)$/gm)]
    .map(([, data]) => JSON.parse(data!))
    .filter(({ type }) => /output_item\.done|response\.(?:completed|incomplete|failed)/.test(type))

t.test('a conversation is compacted by whoever has the model: one item of ours around the summary', async t => {
  for (const upstream of ['messages', 'chat', 'gemini'] as const) {
    const { asked, dropped } = translate('responses', upstream, compacting)
    t.match(JSON.stringify((asked.messages ?? asked.contents).at(-1)), /Now write a summary of this conversation/)
    t.match(JSON.stringify(asked.tool_choice ?? asked.toolConfig), /none/i, 'no tool is called')
    t.equal(dropped, '')
  }
  const { translation } = translate('responses', 'messages', compacting)
  const relay = translation.streaming()
  const out = relay.push(claude(['thinking', 'hm'], ['text', 'They read '], ['text', 'a.txt.'])) + relay.end()
  const [item, end, ...more] = heard(out)
  t.strictSame(more, [])
  t.equal(end!['type'], 'response.completed')
  t.equal(end!['response'].usage.output_tokens, 7)
  t.strictSame(end!['response'].output, [item!['item']])
  const { type, encrypted_content: proof } = item!['item']
  t.equal(type, 'compaction')
  t.notMatch(out, /They read/, 'it is in the item alone')

  // The next request brings it, to whichever platform.
  const next = { ...compacting, input: [compacting.input[0], item!['item']] }
  for (const upstream of ['messages', 'chat', 'gemini'] as const) {
    const { asked, dropped } = translate('responses', upstream, next)
    t.match(JSON.stringify(asked), /This is its summary; go on from it\.\\n\\nThey read a\.txt\./)
    t.equal(dropped, '')
  }
  const vendors = { ...item!['item'], encrypted_content: 'gAAAA' }
  const { asked, dropped } = translate('responses', 'messages', { ...next, input: [compacting.input[0], vendors] })
  t.notMatch(JSON.stringify(asked), /summary/)
  t.equal(dropped, 'input.compaction', 'one of the vendor is nothing to others')

  const whole = translate('responses', 'messages', { ...compacting, stream: false }).translation.whole(
    Buffer.from(
      JSON.stringify({
        id: 'msg_1',
        type: 'message',
        role: 'assistant',
        model: 'up',
        content: [{ type: 'text', text: 'They read a.txt.' }],
        stop_reason: 'end_turn',
        usage: { input_tokens: 9, output_tokens: 7 },
      }),
    ),
  )
  const [only, ...others] = JSON.parse(whole!).output
  t.strictSame([only.type, others], ['compaction', []])
  t.equal(only.encrypted_content, proof)

  const silent = translate('responses', 'messages', compacting).translation.streaming()
  const failed = heard(silent.push(claude(['thinking', 'hm'])) + silent.end())
  t.strictSame(
    failed.map(({ type, response }) => [type, response.error.message]),
    [['response.failed', 'The model wrote no summary.']],
  )
})
