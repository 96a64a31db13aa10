// The golden cases through a whole gateway: its judge (fixtures/golden/check.mjs) plays the upstream and the client.
import { spawn } from 'node:child_process'
import path from 'node:path'
import t from 'tap'
import { gateway } from '../helpers/gateway.ts'
import { folders } from '../helpers/golden.ts'
import { lanes } from '../helpers/lanes.ts'
import { freePort } from '../helpers/port.ts'

t.test('every golden case of translation passes on real sockets', async t => {
  const port = await freePort()
  const gw = await gateway(t)
  const keys = await lanes(gw, { baseUrl: `http://127.0.0.1:${port}` })
  const judge = path.join(import.meta.dirname, '../fixtures/golden/check.mjs')
  // Ours first: of those given to us one leaves its account out for a while.
  for (const folder of ['golden-more', 'golden'] as const) {
    const cases = folders[folder]
    const args = ['--dir', `../${folder}`, '--base', gw.url, '--port', String(port), '--keys', JSON.stringify(keys)]
    const child = spawn(process.execPath, [judge, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
    let said = ''
    for await (const chunk of child.stdout) said += chunk
    for (const { id } of cases) {
      const at = said.indexOf(`ok   ${id}`)
      const wrong = said.slice(said.indexOf(`FAIL ${id}`)).split(/\n(?! {5})/)[0]
      t.ok(at !== -1, id, at === -1 ? { found: wrong?.split('\n') ?? said } : {})
    }
    t.match(said, `${cases.length} passed, 0 failed, 0 skipped`)
  }
})
