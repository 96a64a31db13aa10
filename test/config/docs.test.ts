// One promise: what people read about the settings is what the table says.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { exampleYaml, jsonSchema, referencePage } from '../../src/config/docs.ts'
import { loadConfig } from '../../src/config/load.ts'
import { envName, sections, settingKeys, settings } from '../../src/config/schema.ts'
import { matchAll } from '../helpers/match.ts'

t.test('the example file loads, as it is and with every line uncommented', async t => {
  const load = (yaml: string) =>
    loadConfig({ file: join(t.testdir({ 'gw.yaml': yaml }), 'gw.yaml'), env: {}, uid: 0 }).config
  const whole = exampleYaml().replaceAll(/^#(?=\S+: )/gm, '')
  t.same(load(exampleYaml()), load(''))
  const config = load(whole)
  for (const key of settingKeys) t.match(whole, `\n${key}: `)
  const defaults = load('')
  for (const key of settingKeys) if (settings[key].default !== undefined) t.same(config[key], defaults[key], key)
})

t.test('the generated files are those of this table', async t => {
  const root = new URL('../../', import.meta.url)
  t.equal(readFileSync(new URL('config/gw.example.yaml', root), 'utf8'), exampleYaml(), 'run: npm run docs')
  t.equal(readFileSync(new URL('docs/configuration.md', root), 'utf8'), referencePage(), 'run: npm run docs')
  t.equal(new Set(settingKeys.map(envName)).size, settingKeys.length, 'environment names are distinct')
  for (const key of settingKeys) t.ok(sections[key.includes('.') ? key.split('.')[0]! : ''], key)
  matchAll(t, jsonSchema(), {
    properties: {
      workers: { type: 'integer', minimum: 1, maximum: 64, default: 1 },
      log: { properties: { level: { enum: ['trace', 'debug', 'info', 'warn', 'error'], default: 'info' } } },
      'log.level': { default: 'info' },
    },
  })
})
