// `gw top`: what the screen shows, what its keys do, and how it leaves the terminal.
import { render } from 'ink-testing-library'
import { createElement as h } from 'react'
import t, { type Test } from 'tap'
import type { LiveView } from '../../src/control/view.ts'
import { type Lost, watchDaemon } from '../../src/control/watch.ts'
import { columns } from '../../src/lib/width.ts'
import { type FeedState, startFeed } from '../../src/tui/feed.ts'
import { draw } from '../../src/tui/frame.ts'
import { firstScreen, views } from '../../src/tui/press.ts'
import { signsFor } from '../../src/tui/text.ts'
import { Top } from '../../src/tui/top.ts'
import { account, morning, scriptedDaemon, until, user } from './daemon.ts'

const signs = signsFor({ LANG: 'C.UTF-8' })
const ascii = signsFor({ LC_ALL: 'C', LANG: 'C.UTF-8' })
const calm = (view: LiveView): FeedState => ({ view, gone: null })
const silent = {
  silent: true,
  forMs: 12_000,
  attempt: 3,
  againMs: 3_400,
  why: 'no gw daemon answers on /s: nobody listens; start it with gw serve',
}

function text(feed: FeedState, size = { columns: 90, rows: 24 }, screen = firstScreen(), using = signs): string[] {
  return draw(screen, feed, size, using).lines.map(line => line.map(span => span.text).join(''))
}

t.test('the overview: accounts above users, those that are out counted and first, then the busiest', async t => {
  const lines = text(calm(morning), { columns: 90, rows: 18 }).map(line => line.trimEnd())
  t.equal(
    `\n${lines.join('\n')}\n`,
    `
gw top  [0 overview]  1 users (3)  2 accounts (4)  3 groups (2)             08:30:00Z live
requests 12/s   tokens 8.1k/s   in flight 14   waiting 3
errors 0.4%   time to first token p50 420ms   p95 1.9s   accounts out 2 of 4
node gw-1 rss 88M, 14 in flight, up 3d04h
ACCOUNT   PLATFORM   USED/LIMIT          WAIT  STATE▼          FOR  REASON
gemini    gemini            1/∞             0  error                401 key revoked
claude-b  anthropic        0/10  ░░░░░░     0  rate_limited  4m12s  429 from upstream: th…
gpt       openai          10/10  ██████     3  full
claude-a  anthropic        2/10  █░░░░░     0  available

USER      USED/LIMIT▼          WAIT
bob               8/8  ██████     2
小林さん          3/8  ██░░░░     0
alice             1/∞             0



? help  / filter  < > sort  r reverse  space pause  Tab view  q quit
`,
  )
})

t.test('fills the screen and never wraps, at any size and with any name', async t => {
  const odd = [
    'x'.repeat(300),
    '小'.repeat(60),
    '👩‍👩‍👧‍👦'.repeat(30),
    'e\u0301'.repeat(90),
    '\x1b[31mred\x1b[2J\r\n\u202eback',
  ]
  const crowd: LiveView = {
    ...morning,
    users: odd.map((name, i) => user(name, i * 1000, 4000)),
    accounts: odd.flatMap((name, i) =>
      Array.from({ length: 9 }, (_, n) => account(`${n}${name}`, { reason: name, slots: { used: i, limit: 9999 } })),
    ),
    groups: morning.groups.map((group, i) => ({ ...group, name: odd[i]! })),
  }
  const printable = /^[^\p{Cc}\u202e]*$/u
  const wrong: object[] = []
  for (const feed of [
    calm(crowd),
    { view: crowd, gone: silent },
    { view: null, gone: silent },
    { view: null, gone: null },
  ])
    for (const using of [signs, ascii])
      for (const view of views)
        for (const width of [20, 40, 60, 79, 80, 90, 200])
          for (const rows of [3, 10, 24, 60]) {
            const lines = text(feed, { columns: width, rows }, firstScreen(view), using)
            const bad = lines.filter(line => columns(line) > width || !printable.test(line))
            if (using.ascii) bad.push(...lines.filter(line => !/^[\x20-\x7e]*$/.test(line)))
            if (lines.length !== rows || bad.length > 0) wrong.push({ view, width, rows, lines: lines.length, bad })
          }
  t.same(wrong, [])

  const narrow = text(calm(morning), { columns: 40, rows: 16 }, firstScreen('accounts'))
  t.match(narrow.join('\n'), /claude-b +0\/10 +0 +rate_limited/, 'name, slots and state are there at 40 columns')
  t.match(text(calm(crowd), { columns: 40, rows: 16 }).join('\n'), /\n0(e\u0301){12}… /, 'a cut name says so')
  t.match(text(calm(morning), undefined, undefined, ascii).join('\n'), / 1\/- .*\n.*\n.*gpt .* 10\/10 {2}###### /)
})

t.test('says in words what is empty, small or wrong', async t => {
  const quiet = { ...morning, error_rate: 0.0001, ttft_ms: { p50: 0, p95: 0, p99: 0 }, accounts: [], users: [] }
  t.match(text(calm(quiet)).join('\n'), /errors <0\.1% .* p50 - .*[\s\S]*No account yet\. .*[\s\S]*No user yet\. /)
  const gone = text({ view: morning, gone: silent })
  t.match(gone[0], /08:30:00Z NO DAEMON for 12s$/)
  t.match(gone[3], /^3rd try in 4s: no gw daemon answers on \/s: nobody listens; start it/)
  t.match(gone.join('\n'), /gpt/, 'the last figures stay')
  t.match(text({ view: null, gone: { ...silent, silent: false } })[0], /DAEMON FAILS for 12s$/)
  t.match(text({ view: null, gone: null })[0], /connecting$/)
})

interface Shown {
  type(keys: string): void
  /** the frame as soon as it matches */
  sees(pattern: RegExp): Promise<string>
  feed(view: LiveView): void
  left(): boolean
}

function show(t: Test, view: LiveView, size = { columns: 90, rows: 24 }): Shown {
  let left = false
  const leave = () => {
    left = true
  }
  const top = (live: LiveView) =>
    h(Top, { feed: calm(live), size, signs, color: false, keyboard: true, view: 'all', leave })
  const shown = render(top(view))
  t.teardown(() => shown.unmount())
  return {
    type: keys => shown.stdin.write(keys),
    async sees(pattern) {
      await until(() => pattern.test(shown.lastFrame() ?? ''), shown.lastFrame)
      return shown.lastFrame()!
    },
    feed: live => shown.rerender(top(live)),
    left: () => left,
  }
}

const many = { ...morning, accounts: Array.from({ length: 60 }, (_, i) => account(`a${String(i).padStart(2, '0')}`)) }

t.test('keys change the view', async t => {
  const top = show(t, morning)
  for (const [keys, pattern] of [
    ['1', /\[1 users\][\s\S]*USER .*\nbob/],
    ['2', /\[2 accounts\][\s\S]*ACCOUNT .*\ngemini/],
    ['3', /\[3 groups\][\s\S]*GROUP .*\nspare .* 0 of 1\s*\ndefault .* 1 of 2/],
    ['\t', /\[0 overview\]/],
    ['\x1b[Z', /\[3 groups\]/],
    ['\x1b', /\[0 overview\]/],
    ['2', /STATE▼[\s\S]*\ngemini .*\nclaude-b .*\ngpt .*\nclaude-a /],
    ['r', /STATE▲[\s\S]*\nclaude-a .*\ngpt .*\nclaude-b .*\ngemini /],
    ['>', /ACCOUNT▼\s+PLATFORM[\s\S]*\nclaude-a .*\nclaude-b .*\ngemini .*\ngpt /],
    ['<', /STATE▼/],
    ['?', /KEYS[\s\S]*WORDS/],
    ['q', /STATE▼/],
    ['/CLAUDE', /\/CLAUDE_ [\s\S]*/],
    ['\x7f\x7f\x7f\x7f\x7f\x7fg[pe]', /\ngemini .*\ngpt .*\n\s*\n[\s\S]*\/g\[pe\]_/],
    ['q(', /No account matches "g\[pe\]q\("/],
    ['\x7f\x7f\r', /\ngemini .*\ngpt .*\n\s*\n[\s\S]*filter \/g\[pe\] /],
    ['\x1b', /\nclaude-b [\s\S]*\? help/],
  ] as const) {
    top.type(keys)
    t.ok(await top.sees(pattern), `${JSON.stringify(keys)} shows ${pattern}`)
  }
  t.notOk(top.left(), 'q was text in the filter, and closed the help')
})

t.test('keys scroll, and stop at both ends', async t => {
  const top = show(t, many)
  for (const [keys, pattern] of [
    ['2', /\na00 [\s\S]*\na17 [\s\S]*1-18 of 60/],
    ['jj', /\na02 [\s\S]* 3-20 of 60/],
    ['\x1b[B', /4-21 of 60/],
    ['\x1b[A', /3-20 of 60/],
    ['k', /2-19 of 60/],
    ['\x1b[6~', /20-37 of 60/],
    ['\x1b[5~', /2-19 of 60/],
    ['G', /\na59 [\s\S]*43-60 of 60/],
    ['j', /43-60 of 60/],
    ['k', /42-59 of 60/],
    ['g', /1-18 of 60/],
    ['1', /\[1 users\]/],
  ] as const) {
    top.type(keys)
    t.ok(await top.sees(pattern), JSON.stringify(keys))
  }
})

t.test('space stands still and goes on', async t => {
  const top = show(t, morning)
  top.type(' ')
  await top.sees(/PAUSED/)
  top.feed({ ...morning, in_flight: 99 })
  t.match(await top.sees(/PAUSED/), /in flight 14 /)
  top.type(' ')
  await top.sees(/in flight 99 .*[\s\S]*live|live[\s\S]*in flight 99 /)
})

t.test('q and Ctrl-C leave', async t => {
  for (const key of ['q', '\x03', '/abc\x03']) {
    const top = show(t, morning)
    top.type(key)
    await until(top.left, () => JSON.stringify(key))
  }
})

t.test('a daemon that goes away is missed, asked again, and found when it is back', async t => {
  const daemon = scriptedDaemon(t, morning)
  const feed = startFeed(daemon.socket, [1])
  t.teardown(() => feed.stop())
  const heard = (fact: (state: FeedState) => boolean) =>
    until(
      () => fact(feed.state()),
      () => JSON.stringify(feed.state().gone),
    )
  await heard(state => state.gone?.silent === true && state.view === null)
  await daemon.start()
  await heard(state => state.gone === null && state.view?.in_flight === 14)
  await daemon.stop()
  await heard(state => state.gone?.silent === true && state.view?.in_flight === 14)
  daemon.say({ ...morning, in_flight: 15 })
  await daemon.start()
  await heard(state => state.gone === null && state.view?.in_flight === 15)
})

t.test('a daemon that stops says so, and is tried again after 1, 2, 4, 8, 16 s, then each 16', async t => {
  const daemon = scriptedDaemon(t, morning)
  await daemon.start()
  const tries: Lost[] = []
  let messages = 0
  const waitsMs = [1, 2, 4, 8, 16]
  const stop = watchDaemon(
    { socket: daemon.socket, rows: [], waitsMs },
    { message: () => messages++, lost: lost => tries.push(lost) },
  )
  t.teardown(stop)
  await until(
    () => messages > 0,
    () => tries,
  )
  await daemon.stop(1001)
  await until(
    () => tries.length >= 7,
    () => tries,
  )
  t.match(tries[0], { silent: true, why: 'gw stops here; come back in 2 s', attempt: 1 })
  t.match(tries[1], { silent: true, why: 'there is no socket', attempt: 2 })
  t.strictSame(
    tries.slice(0, 7).map(lost => lost.afterMs),
    [1, 2, 4, 8, 16, 16, 16],
  )
  messages = 0
  await daemon.start()
  await until(
    () => messages > 0,
    () => tries,
  )
  const before = tries.length
  await daemon.stop()
  await until(
    () => tries.length > before,
    () => tries,
  )
  t.match(tries[before], { why: 'the connection broke', attempt: 1, afterMs: 1 }, 'a stream that came begins anew')
})
