// The life of an alert as tables of cases: what is found at each evaluation, and when it fires and is over.
import t from 'tap'
import { checkRules } from '../../../src/core/alert/check.ts'
import { compare, metrics, operators } from '../../../src/core/alert/metrics.ts'
import { parseRuleFile, readRuleFile, shippedRules } from '../../../src/core/alert/read-file.ts'
import { parseSeries } from '../../../src/core/alert/series.ts'
import { IDLE_MS, type Memory, nothingKnown, step, worthKeeping } from '../../../src/core/alert/state.ts'
import { Refusal } from '../../../src/lib/refusal.ts'

const MINUTE = 60_000

/** Plays a series, an evaluation a minute; tells what happened as `fire@2`. Another process goes on from memory at each. */
function play(series: string, terms: { sustained?: number; cooldown?: number } = {}): string[] {
  const samples = parseSeries(series)
  if (typeof samples === 'string') throw new Error(samples)
  const happened: string[] = []
  let kept = JSON.stringify(nothingKnown)
  let firing = false
  let gap = false
  for (const [i, sample] of samples.entries()) {
    if (sample === 'missed') {
      gap = true
      continue
    }
    const { memory, act } = step(
      { op: '>', threshold: 10, sustained: terms.sustained ?? 1, cooldownMs: (terms.cooldown ?? 0) * MINUTE },
      JSON.parse(kept) as Memory,
      { at: i * MINUTE, value: sample === 'none' ? undefined : sample, firing, gap },
    )
    kept = JSON.stringify(memory)
    gap = false
    if (act === undefined) continue
    firing = act === 'fire'
    happened.push(`${act}@${i}`)
  }
  return happened
}

t.test('12.8 the state machine: fires once, and is over when its condition is', async t => {
  for (const [why, series, terms, wanted] of [
    ['nothing', '0x5', {}, []],
    ['one event while it lasts', '0 20x9', {}, ['fire@1']],
    ['over', '0 20x3 0', {}, ['fire@1', 'recover@4']],
    ['the threshold itself is no breach of >', '10x5', {}, []],
    ['sustained: all in a row', '20 20 0 20 20 20 0', { sustained: 3 }, ['fire@5', 'recover@6']],
    ['sustained ends with the first that is well', '20x3 0', { sustained: 3 }, ['fire@2', 'recover@3']],
    ['a missed evaluation begins the count again', '20 20 ! 20 20 20', { sustained: 3 }, ['fire@5']],
    ['a missed evaluation ends nothing', '20 ! 20 ! 0', {}, ['fire@0', 'recover@4']],
    ['well again during a gap: over at the first evaluation after it', '20 !x5 0', {}, ['fire@0', 'recover@6']],
    ['without traffic nothing is breached', '_x50', {}, []],
    ['one without traffic breaks the row', '20 20 _ 20 20', { sustained: 3 }, []],
    ['a short idle ends nothing', '20 _x9 20 0', {}, ['fire@0', 'recover@11']],
    ['idle: over after ten minutes', '20 _x20', {}, ['fire@0', 'idle@11']],
    ['idle in parts is not idle', '20 _x8 20 _x8 20', {}, ['fire@0']],
    ['after idle it may fire again', '20 _x11 20', {}, ['fire@0', 'idle@11', 'fire@12']],
    [
      'flapping, with a cooldown',
      '20 0 20 0 20 0 20 0 20 0 20 0 20',
      { cooldown: 10 },
      ['fire@0', 'recover@1', 'fire@10', 'recover@11'],
    ],
    ['flapping, without one', '20 0 20 0', {}, ['fire@0', 'recover@1', 'fire@2', 'recover@3']],
    [
      'it fires when the cooldown ends and it still holds',
      '20 0 20x12',
      { cooldown: 10 },
      ['fire@0', 'recover@1', 'fire@10'],
    ],
  ] as const)
    t.strictSame(play(series, terms), wanted, why)
})

t.test('12.8 operators', async t => {
  const holds = (value: number) => operators.filter(op => compare(value, op, 5))
  t.strictSame(holds(4), ['<', '<=', '!='])
  t.strictSame(holds(5), ['>=', '<=', '=='])
  t.strictSame(holds(6), ['>', '>=', '!='])
})

t.test('what cannot change what comes next is forgotten', async t => {
  const terms = { op: '>', threshold: 1, sustained: 1, cooldownMs: MINUTE } as const
  t.notOk(worthKeeping({ ...nothingKnown, idleSince: 1 }, terms, false, 10))
  t.ok(worthKeeping({ ...nothingKnown, idleSince: 1 }, terms, true, 10), 'while it fires')
  t.ok(worthKeeping({ ...nothingKnown, breaches: 1 }, terms, false, 10))
  t.ok(worthKeeping({ ...nothingKnown, firedAt: 0 }, terms, false, MINUTE - 1), 'within the cooldown')
  t.notOk(worthKeeping({ ...nothingKnown, firedAt: 0 }, terms, false, MINUTE))
  t.equal(IDLE_MS, 10 * MINUTE)
})

t.test('12.8 every metric of the spec is there, [L] too, with the other name of one', async t => {
  for (const name of [
    'success_rate',
    'error_rate',
    'p95_latency_ms',
    'p99_latency_ms',
    'cpu_usage_percent',
    'memory_usage_percent',
    'concurrency_queue_depth',
    'upstream_error_rate',
    'group_available_accounts',
    'group_available_ratio',
    'account_rate_limited_count',
    'account_error_count',
  ])
    t.ok(metrics[name], name)
  const [rule] = parseRuleFile('x.yaml', 'rules: [{name: a, metric: http2_errors, op: ">", threshold: 20}]').rules
  t.equal(rule!.fields.metric, 'network_errors')
})

t.test('12.8 the shipped rules pass their tests, and each of them is tested', async t => {
  const shipped = shippedRules()
  const tests = readRuleFile('config/alerts.test.yaml')
  const checked = checkRules([shipped, tests])
  t.strictSame(
    checked.flatMap(one => one.problems),
    [],
  )
  t.ok(checked.length >= 10)
  const fired = new Set(tests.tests.flatMap(test => test.events.map(event => event.rule)))
  t.strictSame(
    shipped.rules.map(rule => rule.fields.name).filter(name => !fired.has(name)),
    [],
  )
})

t.test('a test of rules that fails says where and what', async t => {
  const file = parseRuleFile(
    'mine.yaml',
    `rules:
  - { name: slow, metric: p95_ttft_ms, op: ">", threshold: 100, where: { platform: "*" } }
tests:
  - name: wrong in every way
    interval: 30s
    series:
      p95_ttft_ms{platform=openai}: 0 200 0
      error_rat: 0
    events:
      - { at: 1m, rule: slow, dimension: platform=openai }
      - { at: 1m, rule: slwo }
      - { at: 1m, rule: slow, dimension: platform=openai, status: resolved }
`,
  )
  t.strictSame(checkRules([file]), [
    {
      test: 'wrong in every way',
      passed: false,
      problems: [
        'mine.yaml:8:7 "error_rat" is neither a rule nor the metric of one',
        'mine.yaml:11:9 no rule "slwo"; did you mean "slow"?',
        'mine.yaml:10:9 expected firing of slow (platform=openai) at 1m, and it did not happen',
        'mine.yaml:11:9 expected firing of slwo at 1m, and it did not happen',
        'mine.yaml:4:5 not expected: firing of slow (platform=openai) at 30s',
      ],
    },
  ])
})

t.test('a series is values, steps, nothing to measure, and what was missed', async t => {
  t.strictSame(parseSeries('0x3 12 1+2x3 9-3x2 _ !x2 0.5'), [
    0,
    0,
    0,
    12,
    1,
    3,
    5,
    9,
    6,
    'none',
    'missed',
    'missed',
    0.5,
  ])
  t.match(parseSeries('12 twelve'), /^"twelve" is no part of a series/)
  t.match(parseSeries('1x999999999'), /at most/)
})

t.test('each mistake in a file is told with its line, its column, and what was meant', async t => {
  const problems = (text: string): string[] => {
    try {
      parseRuleFile('a.yaml', text)
    } catch (error) {
      if (error instanceof Refusal) return error.message.split('\n')
      throw error
    }
    return []
  }
  const rule = (more: string) => `rules:\n  - { name: a, metric: error_rate, op: ">", threshold: 5, ${more} }\n`
  for (const [text, ...wanted] of [
    [
      'rules:\n  - {name: a\n',
      'a.yaml:3:1 is not valid YAML: Flow map in block collection must be sufficiently indented and end with a }',
    ],
    ['rulse: []\n', 'a.yaml:1:1 "rulse" is not a field of a file of alert rules; did you mean "rules"?'],
    ['rules: 5\n', 'a.yaml:1:8 rules must be a list'],
    ['rules: [a]\n', /^a.yaml:1:9 a rule must be lines of the form "key: value", with name, /],
    [rule('severty: P1'), 'a.yaml:2:59 "severty" is not a field of a rule; did you mean "severity"?'],
    [rule('severity: P9'), 'a.yaml:2:69 severity must be one of P0 P1 P2 P3, got "P9"'],
    [rule('window: 90s'), 'a.yaml:2:67 window must be whole minutes from 1m to 60m, such as 5m'],
    [rule('window: soon'), 'a.yaml:2:67 window must be a duration such as 5m'],
    [rule('sustained: 0'), 'a.yaml:2:70 sustained must be a whole number of evaluations from 1 to 1000'],
    [rule('enabled: maybe'), 'a.yaml:2:68 enabled must be true or false'],
    [
      rule('where: {plattform: openai}'),
      'a.yaml:2:66 where cannot be narrowed by "plattform"; did you mean "platform"?',
    ],
    [rule('where: {platform: opnai}'), 'a.yaml:2:66 where "opnai" is not a platform; did you mean "openai"?'],
    [
      rule('where: {node: one}'),
      'a.yaml:2:66 where error_rate cannot be narrowed by node, only by platform, group, model, account',
    ],
    ['rules:\n  - name: a\n', /metric is missing/, /op is missing/, /threshold is missing/],
    [
      'rules: [{name: a b, metric: eror_rate, op: "=>", threshold: five}]',
      /alert rule name "a b" is not allowed/,
      'a.yaml:1:61 threshold must be a number',
    ],
    [
      'rules: [{name: a, metric: eror_rate, op: "=>", threshold: 5}]',
      'a.yaml:1:27 metric "eror_rate" is not a metric; did you mean "error_rate"?',
      'a.yaml:1:42 op must be one of > >= < <= == !=, got "=>"',
    ],
    ['rules: [{name: a, metric: constructor, op: ">", threshold: 5}]', /1:27 metric "constructor" is not a metric/],
    [
      rule('') + '  - { name: a, metric: qps, op: ">", threshold: 1 }\n',
      'a.yaml:3:13 rule "a" is there twice, first at a.yaml:2:13; names are unique',
    ],
    [
      'tests: [{name: a, series: {error_rate: 1 x 2}, events: [{at: soon, rule: a}]}]',
      /1:40 "x" is no part of a series/,
      /1:62 at must be the time since the first evaluation/,
    ],
  ] as const) {
    const found = problems(text)
    t.equal(found.length, wanted.length, `${text}: ${found.join(' | ')}`)
    for (const [i, one] of wanted.entries())
      if (typeof one === 'string') t.equal(found[i], one)
      else t.match(found[i], one)
  }
})
