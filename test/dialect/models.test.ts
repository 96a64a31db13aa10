// What models can do is data: the shipped file is right, and what an operator puts over it is judged before it is used.
import { readFileSync } from 'node:fs'
import t from 'tap'
import { budgetOf, effortOf, offeredEffort } from '../../src/dialect/middle/effort.ts'
import { factsOf, overrideModels, shipped } from '../../src/dialect/middle/models.ts'
import { lintModels } from '../../src/dialect/middle/models-lint.ts'

t.test('the shipped facts are right', async t => {
  t.strictSame(lintModels(shipped, true), [])
  // JSON.parse takes the last of two rows of one name.
  const names = [...readFileSync('config/models.json', 'utf8').matchAll(/^ {4}"([^"]+)": \{/gm)].map(([, name]) => name)
  t.equal(names.length, Object.values(shipped).flatMap(rows => Object.keys(rows)).length, 'no row is there twice')
})

t.test('what Claude models take (spec/wire-additions.md §1)', async t => {
  const table: [model: string, sampling: boolean, thinking: string[], forced: boolean, most: number][] = [
    ['claude-sonnet-5-5', false, ['auto', 'betweenTools'], false, 128_000],
    ['claude-opus-5-5-20261001', false, ['auto'], false, 128_000],
    ['claude-haiku-5-5', false, ['off', 'auto'], true, 128_000],
    ['claude-opus-5', false, ['off', 'auto', 'budget'], true, 128_000],
    ['claude-fable-5-1', false, ['auto'], false, 128_000],
    ['claude-fable-5', false, ['auto'], true, 128_000],
    ['claude-opus-4-7', false, ['off', 'auto'], true, 128_000],
    ['claude-sonnet-5', false, ['off', 'auto'], true, 128_000],
    ['claude-opus-4-6', true, ['off', 'auto', 'budget'], true, 128_000],
    ['claude-sonnet-4-5-20250929', true, ['off', 'budget'], true, 64_000],
    ['claude-haiku-4-5', true, ['off', 'budget'], true, 64_000],
    ['claude-of-next-year-9', false, ['auto'], false, 128_000],
  ]
  for (const [model, sampling, thinking, forced, most] of table) {
    const facts = factsOf('anthropic', model)
    t.strictSame(
      [facts.sampling === 'yes', facts.thinking, facts.forcedTools, facts.maxOutput, facts.version],
      [sampling, thinking, forced, most, sampling ? '2023-06-01' : '2026-10-21'],
      model,
    )
  }
})

t.test('a mistake is told with its place, what is there, and what may be', async t => {
  const cases: [what: string, value: unknown, said: RegExp][] = [
    ['no object', [], /^must be one JSON object with anthropic, openai, gemini, got \[\]$/],
    ['a vendor', { antropic: {} }, /^antropic: is no vendor; use anthropic/],
    ['rows', { openai: 1 }, /^openai: must be an object of rows/],
    ['a name', { openai: { 'a*b': {} } }, /^openai\.a\*b: is no model name/],
    ['a row', { openai: { 'a*': null } }, /^openai\.a\*: must be an object of facts, got null$/],
    ['a field', { openai: { 'a*': { topk: true } } }, /^openai\.a\*\.topk: is no fact of a model; use sampling/],
    [
      'a type of media',
      { gemini: { 'a*': { fetchedMedia: ['png'] } } },
      /^gemini\.a\*\.fetchedMedia: must be a list of media types such as "image\/png", each once, got \["png"\]$/,
    ],
    ['a flag', { openai: { 'a*': { topK: 'yes' } } }, /^openai\.a\*\.topK: must be true or false, got "yes"$/],
    ['a word', { openai: { 'a*': { sampling: 'maybe' } } }, /must be "yes", "no", "withoutReasoning", got "maybe"$/],
    ['an effort', { openai: { 'a*': { efforts: ['huge'] } } }, /^openai\.a\*\.efforts: must be a list of "minimal"/],
    ['an effort twice', { openai: { 'a*': { efforts: ['low', 'low'] } } }, /each once, got \["low","low"\]$/],
    ['a budget', { openai: { 'a*': { budget: { least: 5, most: 1 } } } }, /^openai\.a\*\.budget: must be \{"least"/],
    ['a count', { openai: { 'a*': { maxOutput: 0 } } }, /must be a whole number of tokens, got 0$/],
    [
      'a row that changes nothing',
      { anthropic: { 'claude-x*': { topK: false } } },
      /^anthropic\.claude-x\*: says nothing/,
    ],
    ['inherited names', { openai: { 'a*': { constructor: 1 } } }, /^openai\.a\*\.constructor: is no fact/],
  ]
  for (const [what, value, said] of cases) {
    const wrong = lintModels(value)
    t.equal(wrong.length, 1, what)
    t.match(wrong[0], said, what)
  }
  t.match(lintModels({ anthropic: {}, openai: {}, gemini: {} }, true)[0], /^anthropic\.\*: has no sampling/)
})

t.test('an operator’s rows go over the shipped ones, each as far as it says', async t => {
  t.teardown(() => overrideModels({}))
  const over = { anthropic: { 'claude-opus-5-5*': { forcedTools: true }, 'my-model': { maxOutput: 5 } } }
  t.strictSame(lintModels(over), [])
  overrideModels(over)
  t.equal(factsOf('anthropic', 'claude-opus-5-5').forcedTools, true)
  t.strictSame(factsOf('anthropic', 'claude-opus-5-5').thinking, ['auto'], 'the rest of the row stays')
  t.equal(factsOf('anthropic', 'my-model').maxOutput, 5)
  t.equal(factsOf('anthropic', 'my-model-2').maxOutput, 128_000, 'a name without * is that name')
})

t.test('effort and budget stand for each other', async t => {
  t.strictSame([0, 1, 1024, 1025, 8192, 24_576, 24_577].map(effortOf), [
    undefined,
    'low',
    'low',
    'medium',
    'medium',
    'high',
    'xhigh',
  ])
  const within = { least: 1024, most: 30_000 }
  t.strictSame(
    (['minimal', 'low', 'medium', 'xhigh', 'max'] as const).map(one => budgetOf(one, within)),
    [1024, 1024, 8192, 30_000, 30_000],
  )
  t.equal(offeredEffort('xhigh', ['low', 'high', 'max']), 'high')
  t.equal(offeredEffort('minimal', ['high', 'low']), 'low')
  t.equal(offeredEffort('high', []), undefined)
})
