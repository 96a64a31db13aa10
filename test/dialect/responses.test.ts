// The Responses dialect's face: what is read of a request, and that nothing but the model changes on its way.
import t from 'tap'
import { enclose } from '../../src/dialect/middle/seal.ts'
import { responses } from '../../src/dialect/responses/responses.ts'
import { Failure } from '../../src/lib/failure.ts'

const peek = (body: object | string) =>
  responses.peek(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)), '')
const user = (text: string) => ({ type: 'message', role: 'user', content: [{ type: 'input_text', text }] })

t.test('a request is known by one scan', async t => {
  const cases: [body: object, want: object][] = [
    [{ model: 'm' }, { model: 'm', stream: false, maxTokens: undefined, mode: '', searchesWeb: false }],
    [
      { model: 'm', stream: true, max_output_tokens: 0 },
      { stream: true, maxTokens: 0 },
    ],
    [
      { model: 'm', max_output_tokens: null, service_tier: 'auto' },
      { maxTokens: undefined, mode: '' },
    ],
    [
      { model: 'm', max_output_tokens: -1, service_tier: 'flex' },
      { maxTokens: undefined, mode: 'flex' },
    ],
    [{ model: 'm', service_tier: 'pri ority\n' }, { mode: 'pri_ority_' }],
    [{ model: 'm', tools: [{ type: 'web_search_preview' }] }, { searchesWeb: true }],
    [{ model: 'm', input: [{ type: 'additional_tools', tools: [{ type: 'web_search' }] }] }, { searchesWeb: true }],
    [{ model: 'm', input: 'web_search' }, { searchesWeb: true }],
  ]
  for (const [body, want] of cases) {
    const found = peek(body) as unknown as Record<string, unknown>
    for (const [name, value] of Object.entries(want)) t.equal(found[name], value, `${JSON.stringify(body)}: ${name}`)
  }
  for (const body of ['', '[]', '{"model":"m",}', '{"model":1}', '{"model":"m","stream":"yes"}', '{}'])
    t.throws(() => peek(body), Failure, body)
})

t.test('base64 is no text', async t => {
  const data = `data:image/png;base64,${'A'.repeat(400_000)}`
  const bytes = (...input: object[]) => peek({ model: 'm', input }).promptBytes
  const image = { type: 'input_image', image_url: data }
  t.ok(bytes({ role: 'user', content: [image] }) < 12_000, 'an image')
  t.ok(bytes({ type: 'function_call_output', output: [image, image] }) < 22_000, 'two in a result')
  t.ok(bytes({ type: 'computer_call_output', output: { type: 'computer_screenshot', image_url: data } }) < 12_000)
  t.ok(bytes({ type: 'image_generation_call', result: data }) < 12_000, 'one that was made')
  t.ok(bytes({ role: 'user', content: [{ type: 'input_file', file_id: 'f' }] }) > 400_000, 'a file that is only named')
  t.ok(bytes({ role: 'user', content: [{ type: 'input_file', file_data: data }] }) > 800_000, 'a file is compressed')
  t.ok(bytes({ role: 'user', content: [{ type: 'input_text', text: data, kind: 'input_image' }] }) > 400_000, 'a text')
  t.ok(bytes({ role: 'user', content: [{ type: 'input_text', image_url: data, x: 'input_image' }] }) > 400_000)
})

t.test('every client is known by what it sends', async t => {
  const hash = /^x:[0-9a-f]{32}$/
  const cases: [client: string, headers: object, body: object, key: string | RegExp][] = [
    ['Codex', { 'session-id': 's', 'thread-id': 't' }, { prompt_cache_key: 'k' }, 'h:s'],
    ['Codex before dashes', { session_id: 's', conversation_id: 'c' }, {}, 'h:s'],
    ['Codex, no header through', {}, { prompt_cache_key: 'k', input: 'hi' }, 'c:k'],
    ['a stored conversation', {}, { conversation: 'conv_1', input: 'hi' }, 'v:conv_1'],
    ['a stored conversation, as an object', {}, { conversation: { id: 'conv_1' }, input: 'hi' }, 'v:conv_1'],
    ['nobody', {}, { input: 'hi' }, hash],
    ['a person is not a session', {}, { input: 'hi', user: 'u', safety_identifier: 's' }, hash],
    ['a turn that follows another, of a person', {}, { input: 'hi', previous_response_id: 'resp_1', user: 'u' }, 'u:u'],
    ['a turn that follows another', {}, { input: 'hi', previous_response_id: 'resp_1' }, 'p:resp_1'],
    ['nothing was said yet', {}, { input: [] }, ''],
  ]
  for (const [client, headers, body, key] of cases) {
    const found = peek({ model: 'm', ...body }).session(headers as Record<string, string>)
    if (typeof key === 'string') t.equal(found, key, client)
    else t.match(found, key, client)
  }
  const key = (body: object) => peek({ model: 'm', ...body }).session({})
  const first = key({ instructions: 'Be brief.', input: [user('hi')] })
  t.equal(
    key({ instructions: 'Be brief.', input: [user('hi'), user('more')] }),
    first,
    'what comes later does not move it',
  )
  t.equal(key({ instructions: 'Be brief.', input: 'hi' }), first, 'nor how it is written')
  t.not(key({ instructions: 'Be brief.', input: [user('ho')] }), first)
  t.not(key({ instructions: 'Be long.', input: [user('hi')] }), first)
})

const strange =
  '"input":[{"n":123456789012345678901234567890,"b":{"model":"no"}}] ,\r\n "\\u0061":"\\ud83d\\ude00 é" ,"z":1,"y":2.50'

t.test('bytes pass: of a request only its model is another', async t => {
  const body = (model: string) => `\r\n{ ${strange}, "model" :\t${model} , "x": null }\n`
  const pieces = (text: string, model: string) => Buffer.concat(peek(text).mapped(model).pieces).toString()
  t.equal(pieces(body('"m"'), 'm'), body('"m"'))
  t.equal(pieces(body('"m"'), 'up/é"'), body('"up/é\\""'))
  const large = `{"model":"m","input":"${'x'.repeat(200_000)}"}`
  t.equal(pieces(large, 'up'), large.replace('"m"', '"up"'))
})

t.test('bytes pass: of an answer only response.model is another, wherever it is said', async t => {
  const event = (type: string, model: string, eol: string) =>
    `event: ${type}${eol}data: {"type":"${type}" , ${strange.replaceAll('\r\n', ' ')},"response" : {"id":"r","output":[{"model":"up","text":"\\"response\\":{\\"model\\":\\"up\\"}"}], "model":${model},"metadata":{"response":{"model":"up"}}}}${eol}${eol}`
  const stream = (model: string, eol: string) =>
    `\ufeff: hi${eol}${eol}${event('response.created', model, eol)}` +
    `event: response.output_text.delta${eol}data: {"type":"response.output_text.delta","delta":"\\"response\\":{\\"model\\":\\"up\\"}","response":1}${eol}${eol}` +
    `data: [DONE]${eol}${eol}${event('response.completed', model, eol)}`
  for (const eol of ['\n', '\r\n', '\r']) {
    const restored = responses.restored(true, 'mine')
    t.equal(restored(Buffer.from(stream('"up"', eol))).toString(), stream('"mine"', eol))
    t.equal(
      restored(Buffer.from(event('response.failed', '"up"', eol))).toString(),
      event('response.failed', '"mine"', eol),
    )
  }
  const whole = (model: string) => `{ ${strange}, "object":"response","model": ${model},"output":[{"model":"up"}]}`
  t.equal(
    responses
      .restored(
        false,
        'mine',
      )(Buffer.from(whole('"up"')))
      .toString(),
    whole('"mine"'),
  )
})

t.test('proofs of others leave a conversation that passes, and no other byte moves (trap 12, trap 58)', async t => {
  const item = (proof: string) => `{ "type":"reasoning" ,"id":"rs","summary":[ ],"encrypted_content" : ${proof} }`
  const user_ = '{"role":"user","content":[{"type":"reasoning","encrypted_content":"gA"}],"n":12345678901234567890}'
  const body = (...items: string[]) => `{"model":"m", "input" :[ ${items.join(' , ')} ],"z":{"encrypted_content":"gA"}}`
  const text = body(
    item('"gA"'),
    user_,
    item('"gB"'),
    item('"gC"'),
    '{"type":"compaction","encrypted_content":"gA"}',
    item('"gw1.x"'),
  )
  const found = peek(text)
  t.strictSame([...found.proofs!()].sort(), ['gA', 'gB', 'gC', 'gw1.x'])
  const out = (edits: [string, string | undefined][]) =>
    Buffer.concat(found.mapped('m', new Map(edits)).pieces).toString()
  t.equal(out([]), text)
  t.equal(
    out([
      ['gA', undefined],
      ['gC', 'native/1'],
      ['gw1.x', undefined],
    ]),
    `{"model":"m", "input" :[ ${[user_, item('"gB"'), item('"native/1"'), '{"type":"compaction","encrypted_content":"gA"}'].join(' , ')} ],"z":{"encrypted_content":"gA"}}`,
  )
  t.equal(
    Buffer.concat(peek('{"model":"m","input":"gA"}').mapped('up', new Map([['gA', undefined]])).pieces).toString(),
    '{"model":"up","input":"gA"}',
  )
  // A summary that was written elsewhere is told in words to the vendor, who could not open it.
  const summary = enclose({
    issuer: { platform: 'anthropic', scope: '0a1b2c3d', model: 'm' },
    value: undefined,
    text: 'They read "a".',
    callId: '',
  })
  const passed = body(user_, `{"type":"compaction","id":"cmp_1","encrypted_content":"${summary}"}`)
  const told = JSON.parse(Buffer.concat(peek(passed).mapped('m', new Map([[summary, undefined]])).pieces).toString())
  t.match(told.input[1].content[0].text, /They read "a"\./)
  t.strictSame([told.input[1].type, told.input[1].role, told.input.length], ['message', 'user', 2])
  const reader = responses.proofReader!()
  reader.push(Buffer.from('event: response.output_item.done\ndata: {"item":{"type":"reasoning","encrypted_con'))
  reader.push(Buffer.from('tent":"gAAA"}}\n\n'))
  t.strictSame(reader.found, ['gAAA'])
})

t.test('errors are OpenAI’s, and in a stream the failed response that Codex listens for', async t => {
  const failure = new Failure('UNTRANSLATABLE', ['store', 'no'], { param: 'store' })
  t.strictSame(JSON.parse(responses.error(failure, 'id').toString()), {
    error: { message: 'store: no.', type: 'invalid_request_error', param: 'store', code: 'UNTRANSLATABLE' },
  })
  const read = (frames: Buffer) =>
    frames
      .toString()
      .trimEnd()
      .split('\n\n')
      .map(frame => /^event: (.*)\ndata: (.*)$/.exec(frame)!)
      .map(([, name, data]) => [name, JSON.parse(data!)] as const)
  const [failed, ...more] = read(responses.errorFrame(new Failure('UPSTREAM_RATE_LIMITED'), 'abc'))
  t.strictSame(more, [])
  t.equal(failed![0], 'response.failed')
  t.equal(failed![1].error.type, 'rate_limit_error', 'the key at which the official SDKs throw')
  t.equal(failed![1].response.error.code, 'rate_limit_exceeded')
  t.equal(failed![1].response.status, 'failed')
  const said = { message: 'Too long.', type: 'invalid_request_error', param: 'input', code: 'context_length_exceeded' }
  const relayed = read(responses.asErrorFrame(Buffer.from(JSON.stringify({ error: said }))))
  t.strictSame(relayed[0]![1].error, said)
  t.equal(relayed[0]![1].response.error.code, 'context_length_exceeded')
  for (const body of ['<html>', '', 'null', '{"error":null}'])
    t.equal(read(responses.asErrorFrame(Buffer.from(body)))[0]![1].response.error.code, 'server_error', body)
})

t.test('models are listed as OpenAI lists them', async t => {
  t.strictSame(Object.keys(responses.models(['a', 'b'])), ['object', 'data'])
  t.strictSame(responses.model('a'), { id: 'a', object: 'model', created: 1704067200, owned_by: 'gw' })
})
