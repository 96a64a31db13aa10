// A client's Gemini request in the middle form (spec/wire.md §3.2).
import type { Ask, Effort, Ext, Held, Json, Text, Thinking, Tool, Turn } from '../middle/form.ts'
import {
  countIn,
  type Fields,
  fieldsIn,
  flagIn,
  isFields,
  listIn,
  numberIn,
  readBody,
  textIn,
  words,
  wrong,
} from '../middle/read.ts'
import { decodeParts } from './decode-parts.ts'
import { beside, camel, exact, extOf, kept } from './own.ts'
import { placeOf } from './place.ts'
import { jsonSchemaOf } from './schema.ts'

/** @throws Failure BODY_INVALID */
export function decodeAsk(body: Buffer, path: string): Ask {
  return askOf(camel(readBody(body, kept)), path)
}

/** The request that is to be counted may stand in a field of its own. @throws Failure BODY_INVALID */
export function decodeCount(body: Buffer, path: string): Ask {
  const said = camel(readBody(body, kept))
  const inner = fieldsIn(said['generateContentRequest'], 'generateContentRequest')
  return askOf(inner ? camel(inner) : said, path)
}

function askOf(said: Fields, path: string): Ask {
  const { contents, systemInstruction, tools, toolConfig, generationConfig, serviceTier, cachedContent, ...more } = said
  const { continuationToken, model: _, sessionId: __, session_id: ___, ...rest } = more
  const held: Held[] = []
  const cached = textIn(cachedContent, 'cachedContent')
  if (cached) held.push({ what: 'cachedContent', param: 'cachedContent', id: cached })
  if (typeof continuationToken === 'string')
    held.push({ what: 'continuation', param: 'continuationToken', id: continuationToken })
  const { model, action } = placeOf(path)
  const tier = textIn(serviceTier, 'serviceTier')?.toLowerCase()
  const config = configOf(camel(fieldsIn(generationConfig, 'generationConfig') ?? {}))
  const { functionCallingConfig, ...toolRest } = camel(fieldsIn(toolConfig, 'toolConfig') ?? {})
  const ext: Ext['gemini'] = {
    ...extOf(rest)?.gemini,
    ...extOf(toolRest, 'toolConfig.')?.gemini,
    ...config.unknown?.gemini,
  }
  return {
    dialect: 'gemini',
    model: model.replace(/^models\//, ''),
    stream: action === 'streamGenerateContent',
    system: systemOf(systemInstruction, held),
    turns: turnsOf(contents, held),
    tools: (listIn(tools, 'tools') ?? []).flatMap((tool, n) => toolsOf(tool, `tools.${n}`)),
    choice: choiceOf(functionCallingConfig),
    ...config.said,
    cache: {},
    ...(tier && tier !== 'unspecified' ? { tier } : {}),
    held,
    wants: { usage: true, ...config.wants },
    ext: Object.keys(ext).length > 0 ? { gemini: ext } : {},
  }
}

function contentIn(value: unknown, at: string): Fields | undefined {
  // A text is a content of one part, and a list of parts is one, too.
  if (typeof value === 'string') return { parts: [{ text: value }] }
  return Array.isArray(value) ? { parts: value } : fieldsIn(value, at)
}

function systemOf(value: unknown, held: Held[]): Text[] {
  const content = contentIn(value, 'systemInstruction')
  const parts = decodeParts(partsIn(content?.['parts'], 'systemInstruction.parts'), 'systemInstruction.parts', held)
  return parts.filter((part): part is Text => part.type === 'text')
}

const partsIn = (value: unknown, at: string) => (isFields(value) ? [value] : (listIn(value, at) ?? []))

const roles = words<Turn['role']>({ model: 'assistant', system: 'system' })

function turnsOf(value: unknown, held: Held[]): Turn[] {
  const contents = isFields(value) ? [value] : (listIn(value, 'contents') ?? wrong('contents', 'there'))
  const said: { role: Turn['role']; parts: unknown[]; at: string }[] = []
  for (const [n, one] of contents.entries()) {
    const at = `contents.${n}`
    const content = contentIn(one, at) ?? wrong(at, 'an object')
    const role = roles[textIn(content['role'], `${at}.role`) ?? 'user'] ?? 'user'
    const parts = partsIn(content['parts'], `${at}.parts`)
    const before = said.at(-1)
    // The official client keeps each chunk of an answer as a content of its own: together they are the turn that it was.
    if (role === 'assistant' && before?.role === role) goOn(before.parts, parts)
    else said.push({ role, parts: [...parts], at })
  }
  return said.map(({ role, parts, at }) => ({ role, parts: decodeParts(parts, `${at}.parts`, held) }))
}

/** Adds the parts of the next chunk: a text that goes on in it is one text. */
function goOn(parts: unknown[], more: readonly unknown[]): void {
  for (const [n, part] of more.filter(one => !isPlain(one) || one['text'] !== '').entries()) {
    const last = parts.at(-1)
    const on = n === 0 && isPlain(last) && isPlain(part) && (last['thought'] === true) === (part['thought'] === true)
    if (on) parts[parts.length - 1] = { ...last, text: `${last['text']}${part['text']}` }
    else parts.push(part)
  }
}

function isPlain(part: unknown): part is Fields {
  if (!isFields(part) || typeof part['text'] !== 'string') return false
  return Object.keys(part).every(name => name === 'text' || name === 'thought')
}

// ---- tools ----

const servers = words<string>({
  googleSearch: 'webSearch',
  googleSearchRetrieval: 'webSearch',
  codeExecution: 'codeExecution',
  urlContext: 'webFetch',
  fileSearch: 'fileSearch',
  computerUse: 'computer',
  mcpServers: 'mcp',
})

function toolsOf(value: unknown, at: string): Tool[] {
  const { functionDeclarations, ...others } = camel(fieldsIn(value, at) ?? {})
  const functions = (listIn(functionDeclarations, `${at}.functionDeclarations`) ?? []).map((one, n) =>
    functionOf(camel(fieldsIn(one, `${at}.functionDeclarations.${n}`) ?? {}), `${at}.functionDeclarations.${n}`),
  )
  const own = Object.entries(others).map(([name, config]): Tool => {
    const said =
      isFields(config) && Object.keys(config).length === 0 ? {} : { ext: { gemini: { [name]: exact(config) } } }
    return { kind: 'server', name, server: servers[name] ?? name, ...said }
  })
  return [...functions, ...own]
}

function functionOf(said: Fields, at: string): Tool {
  const { name, description, parameters, parametersJsonSchema, response, responseJsonSchema: _, ...rest } = said
  const schema = typeof parametersJsonSchema === 'string' ? parametersJsonSchema : undefined
  const own = typeof parameters === 'string' ? jsonSchemaOf(parameters as Json) : undefined
  const about = textIn(description, `${at}.description`)
  // What it gives is told to the model only by some servers, and nowhere else.
  const told = typeof response === 'string' ? { response } : {}
  return {
    kind: 'function',
    name: textIn(name, `${at}.name`) ?? wrong(`${at}.name`, 'there'),
    ...(about ? { description: about } : {}),
    ...(schema ? { schema: schema as Json } : own ? { schema: own } : {}),
    ...beside({ ...rest, ...told }),
  }
}

const textsIn = (value: unknown, field: string): string[] =>
  (listIn(value, field) ?? []).map((one, n) => textIn(one, `${field}.${n}`) ?? '')

function choiceOf(value: unknown): Ask['choice'] {
  const { mode, allowedFunctionNames } = camel(fieldsIn(value, 'toolConfig.functionCallingConfig') ?? {})
  const names = textsIn(allowedFunctionNames, 'toolConfig.functionCallingConfig.allowedFunctionNames')
  switch (textIn(mode, 'toolConfig.functionCallingConfig.mode')?.toUpperCase()) {
    case 'NONE':
      return 'none'
    case 'ANY':
      return names.length > 0 ? { names } : 'required'
    default:
      return 'auto'
  }
}

// ---- generationConfig ----

interface Config {
  said: Pick<Ask, 'sampling' | 'limits' | 'format' | 'thinking'>
  wants: Pick<Ask['wants'], 'reasoning' | 'logprobs' | 'candidates'>
  unknown: Ext | undefined
}

const at = (name: string) => `generationConfig.${name}`

function configOf(config: Fields): Config {
  const { temperature, topP, topK, seed, presencePenalty, frequencyPenalty, ...a } = config
  const { maxOutputTokens, stopSequences, candidateCount, responseLogprobs, logprobs, ...b } = a
  const { responseMimeType, responseSchema, responseJsonSchema, _responseJsonSchema, thinkingConfig, ...c } = b
  const { responseModalities, ...rest } = c
  const number = (name: string, value: unknown) => numberIn(value, at(name))
  const sampling = {
    temperature: number('temperature', temperature),
    topP: number('topP', topP),
    topK: number('topK', topK),
    seed: number('seed', seed),
    presence: number('presencePenalty', presencePenalty),
    frequency: number('frequencyPenalty', frequencyPenalty),
  }
  const maxTokens = countIn(counted(maxOutputTokens), at('maxOutputTokens'))
  const candidates = countIn(counted(candidateCount), at('candidateCount'))
  const wantsLogprobs = flagIn(responseLogprobs, at('responseLogprobs'))
  const thinking = thinkingOf(camel(fieldsIn(thinkingConfig, at('thinkingConfig')) ?? {}))
  const schema = [responseJsonSchema, _responseJsonSchema].find(one => typeof one === 'string') as Json | undefined
  const own = typeof responseSchema === 'string' ? jsonSchemaOf(responseSchema as Json) : undefined
  const format = formatOf(textIn(responseMimeType, at('responseMimeType')), schema ?? own)
  const modalities = textsIn(responseModalities, at('responseModalities')).map(one => one.toUpperCase())
  return {
    said: {
      sampling: Object.fromEntries(Object.entries(sampling).filter(([, value]) => value !== undefined)),
      limits: {
        ...(maxTokens === undefined ? {} : { maxTokens }),
        stop: textsIn(stopSequences, at('stopSequences')),
      },
      ...(format ? { format } : {}),
      ...(thinking ? { thinking } : {}),
    },
    wants: {
      reasoning: thinking?.show === 'summary',
      ...(wantsLogprobs ? { logprobs: countIn(logprobs, at('logprobs')) ?? 0 } : {}),
      ...(candidates !== undefined && candidates > 1 ? { candidates } : {}),
    },
    unknown: extOf(
      { ...rest, ...(modalities.some(one => one !== 'TEXT') ? { responseModalities } : {}) },
      'generationConfig.',
    ),
  }
}

/** Of a number of 64 bits, which may come as text. */
const counted = (value: unknown) => (typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value)

function formatOf(mime: string | undefined, schema: Json | undefined): Ask['format'] {
  if (schema && mime !== 'text/plain') return { kind: 'schema', schema }
  return mime === 'application/json' ? { kind: 'json' } : undefined
}

const efforts = new Set<string>(['minimal', 'low', 'medium', 'high', 'xhigh', 'max'])
const BUDGET = at('thinkingConfig.thinkingBudget')
const LEVEL = at('thinkingConfig.thinkingLevel')

function thinkingOf({ includeThoughts, thinkingBudget, thinkingLevel }: Fields): Thinking | undefined {
  const shown = flagIn(includeThoughts, at('thinkingConfig.includeThoughts'))
  const budget = numberIn(counted(thinkingBudget), BUDGET)
  const level = textIn(thinkingLevel, LEVEL)?.toLowerCase() ?? ''
  const effort = efforts.has(level) ? { effort: level as Effort } : {}
  const said = thinkingBudget !== undefined ? BUDGET : thinkingLevel !== undefined ? LEVEL : at('thinkingConfig')
  const params = { mode: said, effort: LEVEL }
  const show = shown === undefined ? {} : { show: shown ? ('summary' as const) : ('none' as const) }
  if (budget === 0) return { mode: 'off', ...show, params }
  if (budget !== undefined && budget > 0) return { mode: 'budget', budget, ...show, params }
  if (budget === undefined && level === '' && shown !== true) return undefined
  return { mode: 'auto', ...effort, ...show, params }
}
