// One call of a script, and how many of them are sent as one.

/** A call of the script `<script>.lua`. */
export class Call<T> {
  readonly script: string
  /** what is between the braces of all its keys; or of each, where the script does the same to every key and answers with a list */
  readonly tags: readonly string[]
  readonly keys: readonly string[]
  readonly args: readonly (string | number)[]
  readonly read: (answer: never) => T

  constructor(
    script: string,
    tags: readonly string[],
    keys: readonly string[],
    args: readonly (string | number)[],
    read: (answer: never) => T,
  ) {
    this.script = script
    this.tags = tags
    this.keys = keys
    this.args = args
    this.read = read
  }
}

/** Sends the keys of all calls, and the calls as `run.lua` has them. */
export type Send = (keys: readonly string[], calls: string) => Promise<unknown[]>

/** Keys and arguments sent as one at most: many are no problem, but no call must stop the server for long. */
const MOST = 2_000

/** Answers in the order of the calls. On one server they are run in that order, too. */
export async function sendTogether<T>(calls: readonly Call<T>[], send: Send): Promise<T[]> {
  if (calls.length === 0) return []
  if (calls.reduce((sum, call) => sum + size(call), 0) <= MOST) return read(calls, await sendOne(calls, send))
  const parts: Call<T>[][] = []
  let left = 0
  for (const call of calls) {
    if (size(call) > left || parts.length === 0) {
      parts.push([])
      left = MOST
    }
    parts.at(-1)!.push(call)
    left -= size(call)
  }
  const answers = await Promise.all(parts.map(part => sendOne(part, send)))
  return read(calls, answers.flat())
}

/** The same for a cluster, where one run can have only keys of one tag. */
export async function sendByTag<T>(calls: readonly Call<T>[], send: Send): Promise<T[]> {
  const byTag = new Map<string, { call: Call<unknown>; answer: unknown }[]>()
  const pieces = calls.map(call => {
    const keys = call.tags.length > 1 ? call.keys.map(key => [key]) : [call.keys]
    return call.tags.map((tag, i) => {
      const piece = { call: new Call(call.script, [tag], keys[i]!, call.args, raw), answer: undefined as unknown }
      const others = byTag.get(tag)
      if (others) others.push(piece)
      else byTag.set(tag, [piece])
      return piece
    })
  })
  await Promise.all(
    [...byTag.values()].map(async same => {
      const answers = await sendTogether(
        same.map(piece => piece.call),
        send,
      )
      same.forEach((piece, i) => {
        piece.answer = answers[i]
      })
    }),
  )
  return read(
    calls,
    pieces.map(of => (of.length === 1 ? of[0]!.answer : of.flatMap(piece => piece.answer))),
  )
}

const raw = (answer: unknown) => answer

const size = (call: Call<unknown>) => call.keys.length + call.args.length + 3

const read = <T>(calls: readonly Call<T>[], answers: readonly unknown[]): T[] =>
  calls.map((call, i) => call.read(answers[i] as never))

// The arguments go as one text: what ioredis does for each argument of a command costs more than all the rest.
function sendOne(calls: readonly Call<unknown>[], send: Send): Promise<unknown[]> {
  const keys: string[] = []
  const flat: (string | number)[] = []
  for (const call of calls) {
    for (const key of call.keys) keys.push(key)
    flat.push(call.script, call.keys.length, call.args.length)
    for (const arg of call.args) flat.push(`${arg}`) // the scripts know text only, as of any command
  }
  return send(keys, write(flat))
}

function write(flat: readonly (string | number)[]): string {
  const text = JSON.stringify(flat)
  // Half a character, which Lua's reader would refuse for all of them.
  if (!text.includes('\\ud')) return text
  return JSON.stringify(flat.map(arg => (typeof arg === 'string' ? arg.toWellFormed() : arg)))
}
