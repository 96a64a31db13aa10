// What a scrape of a gateway with traffic has: all that the docs, the dashboard and the rules say, and nothing that they do not.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { gateway, hello, only, until } from '../helpers/gateway.ts'
import { promtool, promtoolMissing } from '../helpers/promtool.ts'

const root = path.join(import.meta.dirname, '../..')
const read = (file: string) => readFileSync(path.join(root, file), 'utf8')
const skip = await promtoolMissing()
const RULES = 'config/prometheus-rules.yml'

/** Labels that Prometheus adds, or a histogram has. */
const given = ['instance', 'job', 'le']

interface Documented {
  names: string[]
  labels: string[]
}

/** Rows of the tables of docs/metrics.md. */
const documented: Documented[] = read('docs/metrics.md')
  .split('\n')
  .filter(line => line.startsWith('| `gw_'))
  .map(line => {
    const [, names = '', , labels = ''] = line.split('|')
    return { names: [...names.matchAll(/`(\w+)`/g)].map(([, name]) => name!), labels: labels.match(/\w+/g) ?? [] }
  })
const labelsOf = (name: string) => documented.find(({ names }) => names.includes(name))?.labels

/** What an expression names: metrics of ours, and the labels that it asks of any of them. */
function named(expr: string): { metrics: string[]; recorded: string[]; labels: string[] } {
  const metrics = [...new Set(expr.match(/\bgw_\w+/g) ?? [])]
  const matched = [...expr.matchAll(/\{([^}]*)\}/g)].flatMap(([, inside]) => inside!.match(/\w+(?=\s*[=!]~?)/g) ?? [])
  const grouped = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, inside]) => inside!.match(/\w+/g) ?? [])
  return { metrics, recorded: expr.match(/\bgw:\w+:\w+/g) ?? [], labels: [...matched, ...grouped] }
}

t.test('a scrape under traffic has what docs, dashboard and rules name', { skip }, async t => {
  const gw = await gateway(t, {
    accounts: [
      ...only('claude-sonnet-5-5', { name: 'good', concurrency: 4 }),
      ...only('broken', { name: 'bad', script: { status: 529 } }),
    ],
    config: { 'ops.interval': 1_000 },
  })
  for (let i = 0; i < 3; i++) await (await gw.send(hello({ stream: i > 0 }))).text()
  t.ok((await gw.send(hello({ model: 'broken' }))).status >= 500)
  t.equal((await gw.send('{}', { key: 'sk-unknown' })).status, 401)
  const scrape = async () => (await fetch(`${gw.daemon.opsUrl}/metrics`)).text()
  let text = ''
  await until(t, 'an interval is over', async () => /^gw_db_latency_seconds /m.test((text = await scrape())))

  const families = new Map([...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name, type]) => [name!, type!]))
  t.strictSame(
    [...families.keys()].filter(name => !labelsOf(name)),
    [],
    'every metric of a scrape is in docs/metrics.md',
  )
  t.strictSame(
    documented.flatMap(({ names }) => names).filter(name => !families.has(name)),
    [],
    'every metric of docs/metrics.md is in a scrape',
  )
  for (const line of text.split('\n')) {
    const [, series, labels] = /^(gw_\w+)\{(.*)\} /.exec(line) ?? []
    if (!series) continue
    const name = families.has(series) ? series : series.replace(/_(bucket|sum|count)$/, '')
    const unknown = [...labels!.matchAll(/(\w+)="(?:[^"\\]|\\.)*"/g)]
      .map(([, label]) => label!)
      .filter(label => label !== 'le' && !labelsOf(name)?.includes(label))
    if (unknown.length > 0) t.fail(`${series} has labels that docs/metrics.md does not name: ${unknown.join(', ')}`)
  }

  const series = new Set([...text.matchAll(/^(gw_\w+)/gm)].map(([name]) => name))
  const there = (name: string) => series.has(name) || families.has(name)
  const rules = (
    parse(read(RULES)) as { groups: { rules: { record?: string; alert?: string; expr: string }[] }[] }
  ).groups.flatMap(group => group.rules)
  const recorded = new Set(rules.flatMap(({ record }) => record ?? []))
  const dashboard = JSON.parse(read('config/grafana-dashboard.json')) as {
    panels: { title: string; targets: { expr: string }[] }[]
  }
  const expressions = [
    ...rules.map(({ record, alert, expr }) => ({ where: record ?? alert!, expr })),
    ...dashboard.panels.flatMap(({ title, targets }) => targets.map(({ expr }) => ({ where: `panel ${title}`, expr }))),
  ]
  t.ok(expressions.length > 40)
  for (const { where, expr } of expressions) {
    const { metrics, recorded: asked, labels } = named(expr)
    t.ok(metrics.length + asked.length > 0, `${where} asks for something of gw`)
    for (const name of metrics) if (!there(name)) t.fail(`${where} names ${name}, which no scrape has`)
    for (const name of asked) if (!recorded.has(name)) t.fail(`${where} names ${name}, which no rule records`)
    const known = new Set(
      metrics.flatMap(name => labelsOf(name.replace(/_(bucket|sum|count)$/, '')) ?? labelsOf(name) ?? []),
    )
    for (const label of labels)
      if (!known.has(label) && !given.includes(label))
        t.fail(`${where} asks for label ${label}, which none of its metrics has`)
  }
  t.strictSame(await promtool(['check', 'metrics'], text), { code: 0, said: '' }, 'promtool has nothing to say')
  const checked = await promtool(['check', 'rules', path.join(root, RULES)])
  t.equal(checked.code, 0, checked.said)
})
