// The status page in a real browser: it asks for the token, is live, says when it is not, and takes nothing for markup.
import net from 'node:net'
import t, { type Test } from 'tap'
import { chromiumMissing, openTab } from '../helpers/chromium.ts'
import { gateway, hello, until } from '../helpers/gateway.ts'

/** Passes bytes to the ops listener until it is cut; then nobody is there until it is mended. */
async function relay(t: Test, target: URL) {
  const sockets = new Set<net.Socket>()
  const server = net.createServer(near => {
    const far = net.connect(Number(target.port), target.hostname)
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from)
      from.on('error', () => {})
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
      from.pipe(to)
    }
  })
  let port = 0
  const listen = () =>
    new Promise<void>(resolve =>
      server.listen(port, '127.0.0.1', () => {
        port = (server.address() as net.AddressInfo).port
        resolve()
      }),
    )
  const cut = () => {
    for (const socket of sockets) socket.destroy()
    return new Promise<void>(resolve => server.close(() => resolve()))
  }
  await listen()
  t.teardown(cut)
  return { url: `http://127.0.0.1:${port}/ops/`, cut, mend: listen }
}

const nasty = '<img src=x onerror="document.title=1">'

t.test('the status page, in Chromium', { skip: await chromiumMissing() }, async t => {
  const gw = await gateway(t, {
    accounts: [{ name: 'well' }, { name: 'odd' }],
    config: { 'ops.token': 'page(token)', 'ops.interval': 1_000 },
  })
  // No command would let such a name in.
  const odd = (set: { name: string } | { status: 'paused' }) =>
    gw.database.db.updateTable('accounts').set(set).where('name', 'in', ['odd', nasty]).execute()
  await odd({ name: nasty })
  await gw.inForce()
  const way = await relay(t, new URL(gw.daemon.opsUrl!))
  const bare = await fetch(way.url)
  t.equal(bare.status, 200, 'the page itself needs no token')
  const policy = bare.headers.get('content-security-policy')!
  t.match(policy, /^default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'; connect-src 'self'; /)
  t.notMatch(policy, /unsafe/)
  t.notMatch(await bare.text(), /https?:\/\/(?!www\.w3\.org\/2000\/svg)/, 'it fetches nothing from anywhere')

  const tab = await openTab(t, way.url)
  const text = (id: string) => `document.getElementById('${id}').textContent`
  const show = (token: string) =>
    tab.evaluate(`document.getElementById('token').value = '${token}'; document.getElementById('ask').requestSubmit()`)
  await tab.until('it asks for the token', `!document.getElementById('ask').hidden`)
  t.equal(await tab.evaluate(`document.getElementById('board').hidden`), true)
  await show('wrong')
  await tab.until('it says that this is not the one', `!document.getElementById('wrong').hidden`)
  await show('page(token)')
  await tab.until('it is live', `${text('standing')} === 'live' && !document.getElementById('board').hidden`)
  t.equal(await tab.evaluate(`sessionStorage.getItem('gw.token')`), 'page(token)')
  t.notMatch(await tab.evaluate('location.href'), /token/)
  // What was refused for want of a token is an error to the browser, and the only one it may know.
  t.strictSame(
    tab.complaints.filter(text => !/status of 401/.test(text)),
    [],
  )
  tab.complaints.length = 0

  t.match(await tab.evaluate(text('accounts')), nasty, 'a name is text, whatever is in it')
  t.equal(await tab.evaluate('document.images.length'), 0)
  t.equal(await tab.evaluate('document.title'), 'gw')
  gw.mock.script('*', { hold: true })
  const replies = [gw.send(hello()), gw.send(hello())]
  await tab.until('requests under way are shown', `${text('flight')} === '2'`)
  await odd({ status: 'paused' })
  await tab.until('who is out comes first', `document.querySelector('#accounts tr').textContent.includes('paused')`)
  t.equal(await tab.evaluate(text('accounts-count')), '1 of 2 out')
  await tab.until('charts are drawn', `document.querySelector('#flight-line polyline.stroke') !== null`)
  gw.mock.release()
  await Promise.all(replies)
  await tab.until('the health score is there', `/^\\d+$/.test(${text('health')})`)
  await until(t, 'and it is no error that it has', () => tab.complaints.length === 0)

  await way.cut()
  await tab.until('it says that gw is gone', `/^gone .*; try \\d+ in \\d+ s$/.test(${text('standing')})`)
  t.ok(
    await tab.evaluate(`document.getElementById('board').classList.contains('stale')`),
    'what it knew is marked as old',
  )
  await way.mend()
  await tab.until('and comes back by itself', `${text('standing')} === 'live'`)
  t.notOk(await tab.evaluate(`document.getElementById('board').classList.contains('stale')`))

  await tab.call('Emulation.setDeviceMetricsOverride', { width: 360, height: 740, deviceScaleFactor: 2, mobile: true })
  t.ok(
    await tab.evaluate(`document.documentElement.scrollWidth <= document.documentElement.clientWidth`),
    'a phone shows it whole',
  )
})
