// Nothing is lost silently: every field of every dialect is said in the upstream's words, named as left out, or refused.
import { readFileSync } from 'node:fs'
import t from 'tap'
import type { DialectName } from '../../src/dialect/dialect.ts'
import { columns, fateOf, page, tried } from '../../src/dialect/docs.ts'

// What says what is so without it, at these upstreams; and what stays with us: whom it is for is nobody's business, the session is kept here.
const nothingToSay: Record<string, string> = {
  'messages thinking: disabled': 'Chat compatible',
  'messages metadata.user_id': 'Gemini Antigravity',
  'messages service_tier': 'compatible Gemini Antigravity',
  'chat prompt_cache_key': 'Claude Claude 4.5 Gemini Antigravity',
  'chat user': 'Gemini Antigravity',
  'chat safety_identifier': 'Gemini Antigravity',
  'responses prompt_cache_key': 'Claude Claude 4.5 compatible Gemini Antigravity',
  'responses user': 'Gemini Antigravity',
  'responses safety_identifier': 'Gemini Antigravity',
}

t.test('no field is lost silently (traps 28, 34, 48)', async t => {
  for (const client of Object.keys(tried) as DialectName[])
    for (const field of Object.keys(tried[client].fields))
      for (const column of columns) {
        const fate = fateOf(client, field, column)
        const silent = fate.is === 'silent'
        const may = nothingToSay[`${client} ${field}`]?.includes(column.title) ?? false
        t.ok(!silent || may, `${client} ${field} at ${column.title}: ${JSON.stringify(fate)}`)
      }
})

t.test('docs/dialects.md says what is so', async t => {
  const file = readFileSync(new URL('../../docs/dialects.md', import.meta.url), 'utf8')
  t.equal(file, page(), 'run "npm run docs"')
})
