// Google's own client, by its chats: they keep the history as their programs do.
import { ApiError, type Content, type FunctionCall, type GenerateContentResponse, GoogleGenAI } from '@google/genai'
import { z } from 'zod'
import type { Client, Door, Result, Turn } from './client.ts'
import { lookSchema, weather } from './look.ts'

const sdk = ({ url, key, retries, fetch }: Door) =>
  new GoogleGenAI({
    apiKey: key,
    httpOptions: {
      baseUrl: url,
      fetch,
      ...(retries > 0 ? { retryOptions: { attempts: retries + 1, initialDelay: 1.1, jitter: 0 } } : {}),
    },
  })

export const google: Client = {
  model: 'gemini-3.6-flash',
  async ask(door, { model, stream, turns, tools, thinking, signal, onText }) {
    const contents = turns.flatMap(turn)
    const chat = sdk(door).chats.create({
      model,
      history: contents.slice(0, -1),
      config: {
        ...(signal ? { abortSignal: signal } : {}),
        ...(thinking ? { thinkingConfig: { includeThoughts: true } } : {}),
        ...(tools ? { tools: [{ functionDeclarations: [{ name: 'look', parametersJsonSchema: lookSchema }] }] } : {}),
      },
    })
    const message = contents.at(-1)!.parts!
    const answers: GenerateContentResponse[] = []
    if (stream)
      for await (const answer of await chat.sendMessageStream({ message })) {
        answers.push(answer)
        const text = textOf(answer)
        if (text) onText?.(text)
      }
    else answers.push(await chat.sendMessage({ message }))
    return told(answers, chat.getHistory(true).slice(contents.length))
  },
  async parse(door, model, stream) {
    const { models } = sdk(door)
    const body = {
      model,
      contents: 'weather',
      config: { responseMimeType: 'application/json', responseJsonSchema: z.toJSONSchema(weather) },
    }
    let text = ''
    if (stream) for await (const answer of await models.generateContentStream(body)) text += textOf(answer)
    else text = (await models.generateContent(body)).text!
    return weather.parse(JSON.parse(text))
  },
  async count(door, model) {
    return (await sdk(door).models.countTokens({ model, contents: 'weather' })).totalTokens
  },
  async list(door) {
    const ids: string[] = []
    for await (const { name } of await sdk(door).models.list()) ids.push(name!.replace(/^models\//, ''))
    return ids
  },
  caught(error) {
    const { name } = error as Error
    return {
      kind: name === 'Error' ? (error as Error).constructor.name : name,
      status: error instanceof ApiError ? error.status : undefined,
    }
  },
  stops: { end: 'STOP', calls: 'STOP', length: 'MAX_TOKENS', refused: 'SAFETY', blocked: 'SAFETY' },
  errors: {
    invalid: 'ApiError',
    key: 'ApiError',
    missing: 'ApiError',
    limited: 'ApiError',
    overloaded: 'ApiError',
    broken: 'ApiError',
    aborted: 'AbortError',
  },
  lacks: {
    retryAfter: 'ApiError has a status and a message only',
    patience: 'it retries by a clock of its own',
  },
}

const textOf = ({ candidates }: GenerateContentResponse, thoughts = false) =>
  (candidates?.[0]?.content?.parts ?? [])
    .flatMap(({ text, thought = false }) => (text && thought === thoughts ? [text] : []))
    .join('')

function told(answers: GenerateContentResponse[], kept: Content[]) {
  const usage = answers.findLast(({ usageMetadata }) => usageMetadata)?.usageMetadata
  const ends = answers.map(
    ({ candidates, promptFeedback }) => candidates?.[0]?.finishReason ?? promptFeedback?.blockReason,
  )
  return {
    text: answers.map(answer => textOf(answer)).join(''),
    thought: answers.map(answer => textOf(answer, true)).join(''),
    model: String(answers.at(-1)?.modelVersion),
    calls: answers.flatMap(({ functionCalls }) => functionCalls ?? []).map(called),
    stop: String(ends.findLast(end => end !== undefined)),
    usage: {
      input: usage?.promptTokenCount ?? 0,
      output: (usage?.candidatesTokenCount ?? 0) + (usage?.thoughtsTokenCount ?? 0),
      cached: usage?.cachedContentTokenCount ?? 0,
    },
    kept,
  }
}

const called = ({ id = '', name = '', args }: FunctionCall) => ({ id, name, input: args })

function turn(one: Turn): Content[] {
  if ('user' in one) return [{ role: 'user', parts: [{ text: one.user }, ...(one.image ? [picture(one.image)] : [])] }]
  if ('answer' in one) return one.answer.kept as Content[]
  return [{ role: 'user', parts: one.results.map(result) }]
}

const picture = (data: string) => ({ inlineData: { mimeType: 'image/png', data } })

const result = ({ call, text, error, image }: Result) => ({
  functionResponse: {
    ...(call.id ? { id: call.id } : {}),
    name: call.name,
    response: error ? { error: text } : { output: text },
    ...(image ? { parts: [picture(image)] } : {}),
  },
})
