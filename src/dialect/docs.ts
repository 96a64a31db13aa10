// docs/dialects.md: what becomes of every field of every dialect at every upstream, asked of the codecs themselves. Long, because the fields are a table.
import { writeFileSync } from 'node:fs'
import { Failure } from '../lib/failure.ts'
import type { DialectName } from './dialect.ts'
import type { Target } from './middle/codec.ts'
import { factsOf, type Vendor } from './middle/models.ts'
import { Translation } from './middle/translation.ts'
import { dialectNamed } from './table.ts'

type Json = Record<string, unknown>

interface Column {
  title: string
  dialect: DialectName
  vendor: Vendor
  platform: Target['issuer']['platform']
  model: string
  own: boolean
  internal?: boolean
}

/** The upstreams that fields are tried on. */
export const columns: readonly Column[] = [
  {
    title: 'Claude',
    dialect: 'messages',
    vendor: 'anthropic',
    platform: 'anthropic',
    model: 'claude-opus-5-5',
    own: true,
  },
  {
    title: 'Claude 4.5',
    dialect: 'messages',
    vendor: 'anthropic',
    platform: 'anthropic',
    model: 'claude-sonnet-4-5',
    own: true,
  },
  { title: 'Responses', dialect: 'responses', vendor: 'openai', platform: 'openai', model: 'gpt-5.6-terra', own: true },
  { title: 'Chat', dialect: 'chat', vendor: 'openai', platform: 'openai', model: 'gpt-4.1', own: true },
  { title: 'compatible', dialect: 'chat', vendor: 'openai', platform: 'openai', model: 'qwen-9', own: false },
  { title: 'Gemini', dialect: 'gemini', vendor: 'gemini', platform: 'gemini', model: 'gemini-3.6-flash', own: true },
  {
    title: 'Antigravity',
    dialect: 'gemini',
    vendor: 'gemini',
    platform: 'antigravity',
    model: 'gemini-3.1-pro-low',
    own: true,
    internal: true,
  },
]

const png = 'iVBORw0KGgo='
const schema = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false,
}
const user = (content: unknown) => [{ role: 'user', content }]

interface Tried {
  title: string
  path: string
  base: Json
  /** what is put over the base request, by what it is called on the page */
  fields: Record<string, Json>
}

const claudeTool = { name: 'weather', description: 'of a city', input_schema: schema }
const chatTool = { type: 'function', function: { name: 'weather', parameters: schema } }
const flatTool = { type: 'function', name: 'weather', parameters: schema, strict: false }
const declared = { functionDeclarations: [{ name: 'weather', parametersJsonSchema: schema }] }
const tools = { tools: [claudeTool] }

/** Every field that a client may say something with, by dialect. */
export const tried: Record<DialectName, Tried> = {
  messages: {
    title: 'Anthropic Messages',
    path: '/v1/messages',
    base: { model: 'm', max_tokens: 4096, messages: user('hi') },
    fields: {
      system: { system: 'be brief' },
      'messages: image': {
        messages: user([{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: png } }]),
      },
      'messages: image by URL': {
        messages: user([{ type: 'image', source: { type: 'url', url: 'https://example.com/a.png' } }]),
      },
      'messages: document (PDF)': {
        messages: user([
          { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: 'JVBERi0=' } },
        ]),
      },
      'messages: document (text)': {
        messages: user([{ type: 'document', source: { type: 'text', media_type: 'text/plain', data: 'a page' } }]),
      },
      'messages: file': { messages: user([{ type: 'document', source: { type: 'file', file_id: 'file_1' } }]) },
      'messages: search_result': {
        messages: user([
          { type: 'search_result', source: 'https://a', title: 'a', content: [{ type: 'text', text: 'b' }] },
        ]),
      },
      'messages: calls and results': {
        ...tools,
        messages: [
          ...user('hi'),
          {
            role: 'assistant',
            content: [{ type: 'tool_use', id: 'toolu_1', name: 'weather', input: { city: 'Oslo' } }],
          },
          ...user([{ type: 'tool_result', tool_use_id: 'toolu_1', content: 'sunny' }]),
        ],
      },
      'messages: image in a result': {
        ...tools,
        messages: [
          ...user('hi'),
          { role: 'assistant', content: [{ type: 'tool_use', id: 'toolu_1', name: 'weather', input: {} }] },
          ...user([
            {
              type: 'tool_result',
              tool_use_id: 'toolu_1',
              content: [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: png } }],
            },
          ]),
        ],
      },
      'messages: thinking of another': {
        messages: [
          ...user('hi'),
          {
            role: 'assistant',
            content: [
              { type: 'thinking', thinking: 'hm', signature: 'EqQBCkYIBBgC' },
              { type: 'text', text: 'ho' },
            ],
          },
          ...user('go on'),
        ],
      },
      'messages: system in the middle': {
        messages: [
          ...user('hi'),
          { role: 'assistant', content: 'ho' },
          ...user('and'),
          { role: 'system', content: 'now rhyme' },
        ],
      },
      cache_control: { system: [{ type: 'text', text: 'long', cache_control: { type: 'ephemeral' } }] },
      tools,
      'tools: strict': { tools: [{ ...claudeTool, strict: true }] },
      'tools: web_search': { tools: [{ type: 'web_search_20250305', name: 'web_search' }] },
      'tools: code_execution': { tools: [{ type: 'code_execution_20250825', name: 'code_execution' }] },
      'tool_choice: any': { ...tools, tool_choice: { type: 'any' } },
      'tool_choice: tool': { ...tools, tool_choice: { type: 'tool', name: 'weather' } },
      'tool_choice: none': { ...tools, tool_choice: { type: 'none' } },
      disable_parallel_tool_use: { ...tools, tool_choice: { type: 'auto', disable_parallel_tool_use: true } },
      'thinking: enabled': { thinking: { type: 'enabled', budget_tokens: 2048 } },
      'thinking: adaptive': { thinking: { type: 'adaptive' } },
      'thinking: disabled': { thinking: { type: 'disabled' } },
      'output_config.effort': { output_config: { effort: 'high' } },
      'output_config.format': { output_config: { format: { type: 'json_schema', schema } } },
      temperature: { temperature: 0.5 },
      top_p: { top_p: 0.5 },
      top_k: { top_k: 5 },
      stop_sequences: { stop_sequences: ['END'] },
      'max_tokens: 0': { max_tokens: 0 },
      'metadata.user_id': { metadata: { user_id: 'u-1' } },
      service_tier: { service_tier: 'standard_only' },
      speed: { speed: 'fast' },
      inference_geo: { inference_geo: 'us' },
      container: { container: 'container_1' },
      mcp_servers: { mcp_servers: [{ type: 'url', url: 'https://a', name: 'a' }] },
      context_management: { context_management: { edits: [{ type: 'clear_tool_uses_20250919' }] } },
      'a field of tomorrow': { hologram: true },
    },
  },
  chat: {
    title: 'OpenAI Chat Completions',
    path: '/v1/chat/completions',
    base: { model: 'm', messages: user('hi') },
    fields: {
      'messages: system': { messages: [{ role: 'system', content: 'be brief' }, ...user('hi')] },
      'messages: developer': { messages: [{ role: 'developer', content: 'be brief' }, ...user('hi')] },
      'messages: image_url (data)': {
        messages: user([{ type: 'image_url', image_url: { url: `data:image/png;base64,${png}` } }]),
      },
      'messages: image_url': {
        messages: user([{ type: 'image_url', image_url: { url: 'https://example.com/a.png' } }]),
      },
      'messages: image_url.detail': {
        messages: user([{ type: 'image_url', image_url: { url: `data:image/png;base64,${png}`, detail: 'low' } }]),
      },
      'messages: input_audio': {
        messages: user([{ type: 'input_audio', input_audio: { data: 'AAAA', format: 'wav' } }]),
      },
      'messages: file (data)': {
        messages: user([
          { type: 'file', file: { filename: 'a.pdf', file_data: 'data:application/pdf;base64,JVBERi0=' } },
        ]),
      },
      'messages: file_id': { messages: user([{ type: 'file', file: { file_id: 'file-1' } }]) },
      'messages: calls and results': {
        tools: [chatTool],
        messages: [
          ...user('hi'),
          {
            role: 'assistant',
            content: null,
            tool_calls: [
              { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Oslo"}' } },
            ],
          },
          { role: 'tool', tool_call_id: 'call_1', content: 'sunny' },
        ],
      },
      tools: { tools: [chatTool] },
      'tools: strict': { tools: [{ ...chatTool, function: { ...chatTool.function, strict: true } }] },
      'tools: custom': { tools: [{ type: 'custom', custom: { name: 'edit', description: 'edits' } }] },
      'tool_choice: required': { tools: [chatTool], tool_choice: 'required' },
      'tool_choice: function': { tools: [chatTool], tool_choice: { type: 'function', function: { name: 'weather' } } },
      'tool_choice: none': { tools: [chatTool], tool_choice: 'none' },
      'parallel_tool_calls: false': { tools: [chatTool], parallel_tool_calls: false },
      reasoning_effort: { reasoning_effort: 'high' },
      'response_format: json_schema': { response_format: { type: 'json_schema', json_schema: { name: 'r', schema } } },
      'response_format: json_object': { response_format: { type: 'json_object' } },
      max_completion_tokens: { max_completion_tokens: 500 },
      max_tokens: { max_tokens: 500 },
      temperature: { temperature: 0.5 },
      'temperature above 1': { temperature: 1.5 },
      top_p: { top_p: 0.5 },
      seed: { seed: 7 },
      presence_penalty: { presence_penalty: 0.5 },
      frequency_penalty: { frequency_penalty: 0.5 },
      logit_bias: { logit_bias: { 50256: -100 } },
      logprobs: { logprobs: true, top_logprobs: 2 },
      stop: { stop: ['END'] },
      n: { n: 2 },
      modalities: { modalities: ['text', 'audio'], audio: { voice: 'alloy', format: 'wav' } },
      prediction: { prediction: { type: 'content', content: 'x' } },
      verbosity: { verbosity: 'low' },
      web_search_options: { web_search_options: {} },
      prompt_cache_key: { prompt_cache_key: 'k' },
      service_tier: { service_tier: 'flex' },
      user: { user: 'u-1' },
      safety_identifier: { safety_identifier: 's-1' },
      metadata: { metadata: { a: 'b' } },
      store: { store: true },
      'a field of tomorrow': { hologram: true },
    },
  },
  responses: {
    title: 'OpenAI Responses',
    path: '/v1/responses',
    base: { model: 'm', input: 'hi' },
    fields: {
      instructions: { instructions: 'be brief' },
      'input: developer': {
        input: [
          { role: 'developer', content: 'be brief' },
          { role: 'user', content: 'hi' },
        ],
      },
      'input: input_image': {
        input: user([{ type: 'input_image', image_url: `data:image/png;base64,${png}`, detail: 'auto' }]),
      },
      'input: input_file': {
        input: user([{ type: 'input_file', filename: 'a.pdf', file_data: 'data:application/pdf;base64,JVBERi0=' }]),
      },
      'input: file_id': { input: user([{ type: 'input_file', file_id: 'file-1' }]) },
      'input: calls and outputs': {
        tools: [flatTool],
        input: [
          { role: 'user', content: 'hi' },
          { type: 'function_call', call_id: 'call_1', name: 'weather', arguments: '{"city":"Oslo"}' },
          { type: 'function_call_output', call_id: 'call_1', output: 'sunny' },
        ],
      },
      'input: image in an output': {
        tools: [flatTool],
        input: [
          { role: 'user', content: 'hi' },
          { type: 'function_call', call_id: 'call_1', name: 'weather', arguments: '{}' },
          {
            type: 'function_call_output',
            call_id: 'call_1',
            output: [{ type: 'input_image', image_url: `data:image/png;base64,${png}` }],
          },
        ],
      },
      'input: reasoning of another': {
        input: [
          { role: 'user', content: 'hi' },
          { type: 'reasoning', summary: [{ type: 'summary_text', text: 'hm' }], encrypted_content: 'gAAAA' },
          { role: 'assistant', content: [{ type: 'output_text', text: 'ho' }] },
          { role: 'user', content: 'go on' },
        ],
      },
      'input: item_reference': { input: [{ type: 'item_reference', id: 'msg_1' }] },
      'input: web_search_call': {
        input: [
          { role: 'user', content: 'hi' },
          { type: 'web_search_call', id: 'ws_1', status: 'completed', action: { type: 'search', query: 'x' } },
          { role: 'user', content: 'go on' },
        ],
      },
      tools: { tools: [flatTool] },
      'tools: strict': { tools: [{ ...flatTool, strict: true }] },
      'tools: custom': {
        tools: [
          { type: 'custom', name: 'edit', format: { type: 'grammar', syntax: 'lark', definition: 'start: /.+/' } },
        ],
      },
      'tools: namespace': { tools: [{ type: 'namespace', name: 'db', tools: [flatTool] }] },
      'tools: web_search': { tools: [{ type: 'web_search' }] },
      'tools: file_search': { tools: [{ type: 'file_search', vector_store_ids: ['vs_1'] }] },
      'tools: mcp': { tools: [{ type: 'mcp', server_label: 'a', server_url: 'https://a' }] },
      'tool_choice: required': { tools: [flatTool], tool_choice: 'required' },
      'tool_choice: function': { tools: [flatTool], tool_choice: { type: 'function', name: 'weather' } },
      'parallel_tool_calls: false': { tools: [flatTool], parallel_tool_calls: false },
      'reasoning.effort': { reasoning: { effort: 'high' } },
      'reasoning.summary': { reasoning: { effort: 'high', summary: 'auto' } },
      'text.format: json_schema': { text: { format: { type: 'json_schema', name: 'r', schema, strict: true } } },
      'text.format: json_object': { text: { format: { type: 'json_object' } } },
      'text.verbosity': { text: { verbosity: 'low' } },
      max_output_tokens: { max_output_tokens: 500 },
      temperature: { temperature: 0.5 },
      top_p: { top_p: 0.5 },
      top_logprobs: { top_logprobs: 2 },
      max_tool_calls: { max_tool_calls: 3 },
      previous_response_id: { previous_response_id: 'resp_1' },
      conversation: { conversation: 'conv_1' },
      prompt: { prompt: { id: 'pmpt_1' } },
      background: { background: true },
      prompt_cache_key: { prompt_cache_key: 'k' },
      service_tier: { service_tier: 'flex' },
      truncation: { truncation: 'auto' },
      context_management: { context_management: [{ type: 'compaction' }] },
      user: { user: 'u-1' },
      safety_identifier: { safety_identifier: 's-1' },
      metadata: { metadata: { a: 'b' } },
      client_metadata: { client_metadata: { a: 'b' } },
      store: { store: true },
      'a field of tomorrow': { hologram: true },
    },
  },
  gemini: {
    title: 'Gemini',
    path: '/v1beta/models/m:generateContent',
    base: { contents: [{ role: 'user', parts: [{ text: 'hi' }] }] },
    fields: {
      systemInstruction: { systemInstruction: { parts: [{ text: 'be brief' }] } },
      'contents: inlineData (image)': {
        contents: [{ role: 'user', parts: [{ inlineData: { mimeType: 'image/png', data: png } }] }],
      },
      'contents: inlineData (PDF)': {
        contents: [{ role: 'user', parts: [{ inlineData: { mimeType: 'application/pdf', data: 'JVBERi0=' } }] }],
      },
      'contents: inlineData (audio)': {
        contents: [{ role: 'user', parts: [{ inlineData: { mimeType: 'audio/wav', data: 'AAAA' } }] }],
      },
      'contents: inlineData (video)': {
        contents: [{ role: 'user', parts: [{ inlineData: { mimeType: 'video/mp4', data: 'AAAA' } }] }],
      },
      'contents: fileData': {
        contents: [
          { role: 'user', parts: [{ fileData: { mimeType: 'image/png', fileUri: 'https://example.com/a.png' } }] },
        ],
      },
      'contents: calls and responses': {
        tools: [declared],
        contents: [
          { role: 'user', parts: [{ text: 'hi' }] },
          { role: 'model', parts: [{ functionCall: { name: 'weather', args: { city: 'Oslo' } } }] },
          { role: 'user', parts: [{ functionResponse: { name: 'weather', response: { output: 'sunny' } } }] },
        ],
      },
      'contents: thoughts of another': {
        contents: [
          { role: 'user', parts: [{ text: 'hi' }] },
          { role: 'model', parts: [{ text: 'hm', thought: true, thoughtSignature: 'AAAA' }, { text: 'ho' }] },
          { role: 'user', parts: [{ text: 'go on' }] },
        ],
      },
      tools: { tools: [declared] },
      'tools: googleSearch': { tools: [{ googleSearch: {} }] },
      'tools: codeExecution': { tools: [{ codeExecution: {} }] },
      'tools: urlContext': { tools: [{ urlContext: {} }] },
      'toolConfig: ANY': { tools: [declared], toolConfig: { functionCallingConfig: { mode: 'ANY' } } },
      'toolConfig: allowedFunctionNames': {
        tools: [declared],
        toolConfig: { functionCallingConfig: { mode: 'ANY', allowedFunctionNames: ['weather'] } },
      },
      'toolConfig: NONE': { tools: [declared], toolConfig: { functionCallingConfig: { mode: 'NONE' } } },
      maxOutputTokens: { generationConfig: { maxOutputTokens: 500 } },
      temperature: { generationConfig: { temperature: 0.5 } },
      topP: { generationConfig: { topP: 0.5 } },
      topK: { generationConfig: { topK: 5 } },
      seed: { generationConfig: { seed: 7 } },
      presencePenalty: { generationConfig: { presencePenalty: 0.5 } },
      stopSequences: { generationConfig: { stopSequences: ['END'] } },
      candidateCount: { generationConfig: { candidateCount: 2 } },
      responseMimeType: { generationConfig: { responseMimeType: 'application/json' } },
      responseJsonSchema: { generationConfig: { responseMimeType: 'application/json', responseJsonSchema: schema } },
      responseModalities: { generationConfig: { responseModalities: ['TEXT', 'IMAGE'] } },
      'thinkingConfig.thinkingBudget': { generationConfig: { thinkingConfig: { thinkingBudget: 2048 } } },
      'thinkingConfig.thinkingLevel': { generationConfig: { thinkingConfig: { thinkingLevel: 'high' } } },
      'thinkingConfig.includeThoughts': { generationConfig: { thinkingConfig: { includeThoughts: true } } },
      responseLogprobs: { generationConfig: { responseLogprobs: true, logprobs: 2 } },
      mediaResolution: { generationConfig: { mediaResolution: 'MEDIA_RESOLUTION_LOW' } },
      speechConfig: { generationConfig: { speechConfig: { voiceConfig: {} } } },
      safetySettings: { safetySettings: [{ category: 'HARM_CATEGORY_HARASSMENT', threshold: 'OFF' }] },
      cachedContent: { cachedContent: 'cachedContents/1' },
      serviceTier: { serviceTier: 'flex' },
      labels: { labels: { a: 'b' } },
      'a field of tomorrow': { hologram: true },
    },
  },
}

/** What becomes of one field at one upstream. */
export type Fate =
  | { is: 'passes' | 'kept' | 'silent' }
  | { is: 'dropped' | 'changed'; tokens: readonly string[] }
  | { is: 'refused'; why: string }

/** Of a field of a client's dialect at an upstream; `silent`: it changes nothing there, and nothing says so. */
export function fateOf(client: DialectName, field: string, column: Column): Fate {
  if (client === column.dialect) return { is: 'passes' }
  const { base, fields } = tried[client]
  const plain = asked(client, column, base)
  let with_: ReturnType<typeof asked>
  try {
    with_ = asked(client, column, { ...base, ...fields[field] })
  } catch (error) {
    if (error instanceof Failure && error.code === 'UNTRANSLATABLE') return { is: 'refused', why: error.message }
    throw error
  }
  const tokens = with_.tokens.filter(token => !plain.tokens.includes(token))
  if (tokens.length > 0) return { is: tokens.every(token => token.endsWith('~')) ? 'changed' : 'dropped', tokens }
  return { is: with_.said === plain.said ? 'silent' : 'kept' }
}

function asked(client: DialectName, column: Column, body: Json): { said: string; tokens: readonly string[] } {
  const { title: _, dialect, vendor, platform, model, own, internal = false } = column
  const codec = dialectNamed(client).codec!
  const ask = codec.decodeAsk(Buffer.from(JSON.stringify(body)), tried[client].path)
  const { asking, notes } = new Translation({
    client: codec,
    upstream: dialectNamed(dialect).codec!,
    ask,
    model: 'm',
    promptTokens: 1,
    now: 0,
    keep() {},
    target: {
      model,
      facts: factsOf(vendor, model),
      own,
      internal,
      issuer: { platform, scope: '00000000', model },
      kept: () => undefined,
      seals: true,
      // As if it had been fetched.
      fetched: new Map([['image https://example.com/a.png', { mime: 'image/png', base64: png }]]),
      settings: { autoCache: true },
    },
  })
  const { path, query, headers, body: said } = asking
  return { said: JSON.stringify([path, query, headers, said]), tokens: notes.tokens }
}

const titles: Record<DialectName, string> = {
  messages: 'POST /v1/messages',
  chat: 'POST /v1/chat/completions',
  responses: 'POST /v1/responses',
  gemini: 'POST /v1beta/models/{model}:generateContent, :streamGenerateContent',
}

/** The page. */
export function page(): string {
  const out = [
    '# Dialects',
    '',
    '<!-- Generated from src/dialect/docs.ts by `npm run docs`, which asks the codecs; edit that instead. -->',
    '',
    'Every client speaks its own dialect to every account. Where the account speaks the same one, bytes pass as they came, and only the model’s name',
    'is edited in place. Where it does not, the request goes through one middle form and the answer comes back through it ([architecture](architecture.md)).',
    '',
    '| client | Anthropic accounts | OpenAI accounts, dialect responses | OpenAI accounts, dialect chat | Gemini accounts | Antigravity accounts |',
    '|---|---|---|---|---|---|',
  ]
  for (const name of Object.keys(tried) as DialectName[]) {
    const upstream: DialectName[] = ['messages', 'responses', 'chat', 'gemini', 'gemini']
    const cells = upstream.map((to, i) => (to !== name ? 'translated' : i === 4 ? 'passes, in an envelope' : 'passes'))
    out.push(`| \`${titles[name]}\` | ${cells.join(' | ')} |`)
  }
  out.push(
    '',
    'An OpenAI account speaks Responses to api.openai.com and Chat to any other base URL, unless `gw account add --dialect` says otherwise.',
    'Embeddings are not translated: `POST /v1/embeddings` is for OpenAI accounts, `:embedContent` for Gemini accounts. Counting tokens works for every',
    'pair: natively where the upstream counts, else reckoned, rounded up, and marked by the header `x-gw-estimated: true`.',
    '',
    'What a translation leaves out of a request is named in the header `x-gw-dropped` of the answer, by the client’s own names: `top_k` was left out,',
    '`temperature~` was changed. What must not be left out is refused with 400 `UNTRANSLATABLE` and the field’s name. Nothing is lost silently: a test',
    'goes through the tables below. Of a name what no header may hold is percent-encoded; a list too long for clients ends in `and 12 more`. In a group with',
    'accounts of several dialects, what one cannot be told is asked of another that can.',
    '',
    '**Thinking** that comes from another vendor is sealed: its signature begins with `gw1.` and says who issued it. When it comes back it is opened for the account',
    'that issued it, and left out for all others. A conversation may go over vendors and back; no upstream meets a proof that it did not issue.',
    '',
    '**Compaction**: Codex asks OpenAI for it (`compaction_trigger` as the last item), and whoever it takes for OpenAI. An upstream of another dialect writes a summary',
    'instead, without tools; the answer is one `compaction` item of ours around it, which every account is later told in words.',
    '',
    '**Media by URL**: Claude and OpenAI fetch images that a request names by URL (and documents, but for Chat); Gemini and Antigravity must be given the bytes (but for',
    'YouTube and `gs://`, which pass). For them gw fetches what a translated request names, once however many accounts are tried: by https from public',
    'addresses alone, whatever `upstream.allow_private` says, following no redirect and through no proxy; at most 32 URLs, within 10 s, and as much as',
    '`limits.decoded_body` has room for. What came must be of the kind that was said, by its content type and its first bytes, and of a type that the model',
    'takes (`fetchedMedia` in [models.json](../config/models.json)). What cannot be had is refused with 400 `UNTRANSLATABLE`, the field’s name and the reason;',
    'where another account of the group fetches itself, it is asked. `translate.fetch_urls: false` turns it off.',
    '',
    '## What becomes of each field',
    '',
    'Tried with the models of the second row. *kept*: said in the upstream’s words · ~: changed · `token`: left out, and so named · **refused**: with 400 · –: it says',
    'what is so without it.',
  )
  const reasons: string[] = []
  for (const name of Object.keys(tried) as DialectName[]) {
    const there = columns.filter(({ dialect }) => dialect !== name)
    out.push('', `### ${tried[name].title}`, '')
    out.push(`| field | ${there.map(({ title }) => title).join(' | ')} |`, `|---|${there.map(() => '---|').join('')}`)
    out.push(`| | ${there.map(({ model }) => model).join(' | ')} |`)
    for (const field of Object.keys(tried[name].fields)) {
      const cells = there.map(column => cell(fateOf(name, field, column)))
      out.push(`| ${field} | ${cells.join(' | ')} |`)
      for (const column of there) {
        const fate = fateOf(name, field, column)
        if (fate.is === 'refused' && !reasons.includes(fate.why)) reasons.push(fate.why)
      }
    }
  }
  out.push('', '## Why something is refused', '', ...reasons.sort().map(why => `- ${why}`))
  return `${out.join('\n')}\n`
}

function cell(fate: Fate): string {
  if (fate.is === 'dropped') return fate.tokens.map(token => `\`${token}\``).join(' ')
  if (fate.is === 'changed') return '~'
  if (fate.is === 'refused') return '**refused**'
  return fate.is === 'silent' ? '–' : fate.is
}

if (process.argv[1] === import.meta.filename) writeFileSync(new URL('../../docs/dialects.md', import.meta.url), page())
