// The golden cases through the codecs alone: what each upstream is asked, what each client is told, what is named as lost.
import t from 'tap'
import { check, folders } from '../helpers/golden.ts'

t.equal(folders.golden.length, 24)
for (const [folder, cases] of Object.entries(folders))
  t.test(folder, async t => {
    for (const c of cases) t.strictSame(check(c), [], `${c.id}: ${c['title']}`)
  })
