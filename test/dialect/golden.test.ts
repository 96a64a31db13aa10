// The golden cases through the codecs alone: what each upstream is asked, what each client is told, what is named as lost.
import t from 'tap'
import { cases, check } from '../helpers/golden.ts'

t.equal(cases.length, 24)
for (const c of cases) t.strictSame(check(c), [], `${c.id}: ${c['title']}`)
