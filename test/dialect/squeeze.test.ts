// What is left of large JSON: the same shape, its strings at most so long, wherever the reads fall.
import t from 'tap'
import { LARGE, Squeezer } from '../../src/dialect/json/squeeze.ts'
import { pieces } from './answers.ts'
import { heldBy } from './memory.ts'
import { generator, one, type Random, torn } from './random.ts'

const LONG = 1024

function squeezed(reads: Iterable<Buffer>): { text: string; bytes: number } {
  const squeezer = new Squeezer()
  for (const read of reads) squeezer.push(read)
  const { bytes } = squeezer
  const all = squeezer.take()
  return { text: all.toString(), bytes: all.length === bytes ? bytes : -1 }
}

// As written: plain, escaped in every way, and what looks like an end and is none.
const atoms = [
  'a',
  'aGVsbG8h'.repeat(9),
  'é',
  '🙂',
  '\\n',
  '\\"',
  '\\\\',
  '\\u00e9',
  '\\ud83d\\ude42',
  '\\/',
  '\\\\\\"',
  ',"b":[{',
  '}',
]

function stringText(random: Random, bytes: number): string {
  const kind = random(4)
  let text = ''
  while (text.length < bytes) text += kind === 0 ? atoms[1] : one(random, atoms).replaceAll(/(?<!\\)"/g, '\\"')
  return `"${text}"`
}

function valueText(random: Random, depth: number): string {
  const many = 1 + random(5)
  switch (random(depth > 5 ? 3 : 6)) {
    case 0:
      return one(random, ['0', '-1.5e3', 'true', 'null', '[]', '{}', '""'])
    case 1:
    case 2:
      return stringText(random, one(random, [1, 20, LONG - 40, LONG - 3, LONG, LONG + 3, 5000, 40_000]))
    case 3:
      return `[${Array.from({ length: many }, () => valueText(random, depth + 1)).join(', ')}]`
    default:
      return `{${Array.from({ length: many }, (_, n) => `"k${n}" : ${valueText(random, depth + 1)}`).join(',')}}`
  }
}

/** Whether the strings of `left` are beginnings of those of `all` and everything else is the same. */
function agrees(left: unknown, all: unknown): boolean {
  if (typeof all === 'string' && typeof left === 'string') {
    if (left === all) return true
    // A character may have been cut in two.
    const kept = left.replace(/\ufffd+$/, '').replace(/[\ud800-\udbff]$/, '')
    // An escape has at most six bytes a character.
    return all.startsWith(kept) && all.length * 6 > LONG && kept.length * 6 > LONG - 12
  }
  if (typeof all !== 'object' || all === null || typeof left !== 'object' || left === null) return left === all
  const names = Object.keys(all)
  return (
    Object.keys(left).join() === names.join() &&
    names.every(name => agrees((left as Record<string, unknown>)[name], (all as Record<string, unknown>)[name]))
  )
}

t.test('large JSON keeps its shape and the beginnings of its strings', async t => {
  const random = generator(20_261_125)
  const wrong: string[] = []
  const seen = { shorter: 0, same: 0 }
  for (let n = 0; n < 120; n++) {
    const text = `{"a":${valueText(random, 0)},"pad":${stringText(random, LARGE)},"b":${valueText(random, 1)},"usage":{"n":${n}}}`
    const all = JSON.parse(text)
    const bytes = Buffer.from(text)
    for (const reads of [[bytes], torn(random, bytes)]) {
      const { text: left, bytes: kept } = squeezed(reads)
      if (kept === -1) wrong.push(`${n}: bytes are not those that were kept`)
      try {
        if (!agrees(JSON.parse(left), all)) wrong.push(`${n}: ${left.slice(0, 200)}`)
      } catch (error) {
        wrong.push(`${n}: ${error}`)
      }
      seen[kept < bytes.length / 2 ? 'shorter' : 'same']++
    }
  }
  t.same(wrong.slice(0, 3), [])
  t.ok(seen.shorter > 200, JSON.stringify(seen))
})

t.test('a string is cut beside its escapes, never inside one', async t => {
  for (const character of ['\\n', '\\"', '\\\\', '\\u00e9', '\\u0022', 'é', '🙂'])
    for (let before = LONG - 8; before <= LONG + 2; before++) {
      const text = `{"a":"${'x'.repeat(before)}${character.repeat(40_000)}","usage":"\\\\"}`
      const left = squeezed([Buffer.from(text)])
      t.match(JSON.parse(left.text), { usage: '\\' }, `${character} after ${before}`)
      t.ok(left.bytes < LONG + 100)
      t.equal(squeezed(pieces(Buffer.from(text), 5)).text, left.text, 'wherever the reads fall')
    }
})

t.test('the little that is kept of a read does not keep the read', async t => {
  const mb = 1024 * 1024
  const squeezer = new Squeezer()
  const held = await heldBy(() => {
    for (let i = 0; i < 20; i++) {
      const read = Buffer.alloc(mb, 'x')
      read.write('"short","', 0)
      read.write('",', mb - 2)
      squeezer.push(read)
    }
  })
  t.ok(held < 4, `${held} MB held of 20`)
  t.ok(squeezer.bytes < 20 * (LONG + 30))
})

t.test('what is not large stays as it is, and what is no JSON is not mended', async t => {
  const small = `{"a":"${'x'.repeat(LARGE - 8)}"}`
  t.equal(squeezed([Buffer.from(small)]).text, small)
  const page = `<html>${'x'.repeat(2 * LARGE)}</html>`
  t.equal(squeezed([Buffer.from(page)]).text, page)
  t.equal(squeezed([]).text, '')
})
