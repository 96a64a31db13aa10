// The status page: draws what the live stream (ws) and /ops/* say. Whatever comes is text; nothing of it is ever read as markup.

const WAITS_S = [1, 2, 4, 8, 16]
const SILENT_MS = 5_000
const LIVE_S = 120
const REFRESH_MS = 15_000
const PATIENCE_MS = 8_000
const MOST_ROWS = 200
const SVG = 'http://www.w3.org/2000/svg'

const at = id => document.getElementById(id)
const put = (id, text) => {
  at(id).textContent = text
}

let token = sessionStorage.getItem('gw.token') ?? ''
let stream
let attempt = 0
let heardAt = 0
let nextTry = 0
/** frames of the last two minutes */
let frames = []
let accounts = new Map()
let providers = new Map()

// ---- what is asked ----

async function ask(path) {
  const headers = token ? { authorization: `Bearer ${token}` } : {}
  // A daemon that hangs would keep us waiting, and what is asked each time would pile up.
  const answer = await fetch(path, { headers, cache: 'no-store', signal: AbortSignal.timeout(PATIENCE_MS) })
  if (answer.status === 401) throw new Denied()
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`)
  return answer.json()
}
class Denied extends Error {}

/** What does not answer leaves its part of the page as it was, and says so. */
async function refresh() {
  await Promise.all([
    part('health', showHealth, () => put('health', '–')),
    part('alerts?firing=true', showAlerts, () => put('alerts-count', 'not known')),
    part('providers?range=1h', list => {
      providers = new Map((list.providers ?? list).map(one => [one.name, one]))
    }),
    part('history?window=1m&limit=60', showHour, () =>
      put('hour-note', 'The database does not answer; what was drawn stays.'),
    ),
  ])
}

async function part(path, show, fail = () => {}) {
  try {
    show(await ask(path))
    // Also where no stream comes through, as behind a proxy that knows no WebSocket.
    at('board').hidden = !at('ask').hidden
  } catch (error) {
    if (error instanceof Denied) denied()
    else fail()
  }
}

function denied() {
  at('wrong').hidden = token === ''
  at('ask').hidden = false
  at('board').hidden = true
  standing('needs its token', 'warn')
  stream?.close()
  nextTry = Number.POSITIVE_INFINITY
}

at('ask').addEventListener('submit', event => {
  event.preventDefault()
  token = at('token').value
  sessionStorage.setItem('gw.token', token)
  at('token').value = ''
  start()
})

async function start() {
  await begin()
  if (at('ask').hidden) await refresh()
}

// ---- the stream ----

async function begin() {
  nextTry = Number.POSITIVE_INFINITY
  // A WebSocket that is refused does not say why; a question does.
  try {
    await ask('health')
  } catch (error) {
    if (error instanceof Denied) return denied()
    if (!(error instanceof TypeError)) console.debug(error.message)
  }
  at('ask').hidden = true
  connect()
}

function connect() {
  nextTry = Number.POSITIVE_INFINITY
  const url = new URL('ws', location.href)
  url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:'
  // The name of a protocol has no room for every sign.
  const spelt = encodeURIComponent(token).replace(/[()]/g, sign => `%${sign.charCodeAt(0).toString(16)}`)
  const mine = new WebSocket(url, token ? ['gw.live', `gw.token.${spelt}`] : ['gw.live'])
  stream = mine
  heardAt = Date.now()
  mine.onmessage = ({ data }) => {
    if (mine !== stream) return
    heardAt = Date.now()
    const message = JSON.parse(data)
    if (message.type === 'frame') showFrame(message)
    else if (message.type === 'rows' && message.of === 'accounts') hearAccounts(message)
  }
  mine.onclose = ({ code, reason }) => {
    if (mine !== stream || nextTry !== Number.POSITIVE_INFINITY || !at('ask').hidden) return
    const wait = WAITS_S[Math.min(attempt++, WAITS_S.length - 1)]
    nextTry = Date.now() + wait * 1000
    lost = reason || (code === 1006 ? 'no answer' : `closed with ${code}`)
    // A gap is drawn as one.
    if (frames.length > 0 && frames.at(-1) !== null) frames.push(null)
    tick()
  }
}
let lost = ''

function tick() {
  const now = Date.now()
  if (nextTry !== Number.POSITIVE_INFINITY) {
    const left = Math.ceil((nextTry - now) / 1000)
    standing(`gone (${lost}); try ${attempt} in ${Math.max(0, left)} s`, 'bad')
    at('board').classList.add('stale')
    if (now >= nextTry) begin()
  } else if (stream?.readyState === WebSocket.OPEN && now - heardAt > SILENT_MS) {
    lost = 'silent'
    stream.close()
    // A close that is not answered would keep us waiting.
    stream.onclose({ code: 1006, reason: 'silent for 5 s' })
    stream = undefined
  }
}

function standing(text, mood) {
  put('standing', text)
  at('standing').className = `pill ${mood}`
}

// ---- what is shown ----

const three = value =>
  value >= 999_500
    ? `${(value / 1e6).toFixed(1)}M`
    : value >= 9_995
      ? `${Math.round(value / 1e3)}k`
      : value >= 1_000
        ? `${(value / 1e3).toFixed(1)}k`
        : value >= 10
          ? String(Math.round(value))
          : String(Math.round(value * 10) / 10)
const took = ms =>
  ms === null || ms === undefined ? '–' : ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`
const percent = value => (value === null || value === undefined ? '–' : `${Math.round(value * 100) / 100}%`)

function showFrame(frame) {
  attempt = 0
  at('board').hidden = false
  at('board').classList.remove('stale')
  standing(frame.phase === 'ready' ? 'live' : frame.phase, frame.phase === 'ready' ? 'good' : 'warn')
  const time = new Date(frame.at)
  put('clock', `${time.toISOString().slice(11, 19)} UTC`)
  put('where', frame.nodes.length === 1 ? frame.nodes[0].name : `${frame.nodes.length} processes`)
  frames.push({ ...frame, time: time.getTime() })
  frames = frames.filter(one => one === null || one.time > time.getTime() - LIVE_S * 1000)
  while (frames[0] === null) frames.shift()

  put('qps', three(frame.qps))
  put('tps', three(frame.tps))
  put('ttft', took(frame.ttft_ms?.p95))
  put('ttft-50', frame.ttft_ms ? `p50 ${Math.round(frame.ttft_ms.p50)}` : '')
  put('errors', frame.error_rate === null ? '–' : String(frame.error_rate))
  at('errors').className = frame.error_rate > 0 ? 'bad' : ''
  put('flight', String(frame.in_flight))
  put('waiting', frame.waiting > 0 ? `${frame.waiting} waiting` : 'nobody waits')
  at('waiting').className = frame.waiting > 0 ? 'warn' : ''
  const { total, out } = frame.accounts
  put('accounts-count', out > 0 ? `${out} of ${total} out` : `${total}, none out`)
  at('accounts-count').className = out > 0 ? 'bad' : ''

  const span = { from: time.getTime() - LIVE_S * 1000, to: time.getTime() }
  const live = read => frames.map(one => (one === null ? null : { x: one.time, y: read(one) }))
  chart(
    'qps-line',
    live(one => one.qps),
    span,
  )
  chart(
    'tps-line',
    live(one => one.tps),
    span,
  )
  chart(
    'ttft-line',
    live(one => one.ttft_ms?.p95 ?? null),
    span,
  )
  chart(
    'errors-line',
    live(one => one.error_rate),
    span,
  )
  chart(
    'flight-line',
    live(one => one.in_flight),
    span,
  )
  showPlatforms(frame)
  showAccounts()
}

function hearAccounts({ reset, rows, gone }) {
  if (reset) accounts = new Map()
  for (const name of gone) accounts.delete(name)
  for (const row of rows) accounts.set(row.name, row)
  showAccounts()
}

// Worst first.
const states = ['error', 'expired', 'ejected', 'overloaded', 'rate_limited', 'paused', 'full', 'available']
const moods = { available: 'good', full: 'warn', paused: 'warn', rate_limited: 'warn', overloaded: 'warn' }

function showAccounts() {
  const now = Date.now()
  const sorted = [...accounts.values()].sort(
    (a, b) =>
      states.indexOf(a.state) - states.indexOf(b.state) || b.slots.used - a.slots.used || (a.name < b.name ? -1 : 1),
  )
  fill('accounts', sorted.slice(0, MOST_ROWS), account => [
    { text: account.name },
    { text: account.platform },
    { text: account.state, mood: moods[account.state] ?? 'bad' },
    { text: `${account.slots.used}/${account.slots.limit || '∞'}`, number: true },
    { text: account.waiting > 0 ? String(account.waiting) : '', number: true },
    { text: account.until ? left(Date.parse(account.until) - now) : '', number: true },
    { text: account.reason ?? '', title: true },
  ])
  const more = sorted.length - MOST_ROWS
  put('accounts-more', more > 0 ? `and ${more} more, which are well or less busy: gw top` : '')
}

const left = ms => {
  const s = Math.max(0, Math.ceil(ms / 1000))
  return s < 60
    ? `${s}s`
    : s < 3600
      ? `${Math.floor(s / 60)}m${String(s % 60).padStart(2, '0')}s`
      : `${Math.floor(s / 3600)}h${String(Math.floor(s / 60) % 60).padStart(2, '0')}m`
}

function showPlatforms(frame) {
  const names = [...new Set([...Object.keys(frame.platforms), ...providers.keys()])].filter(name => name !== '-').sort()
  fill('platforms', names, name => {
    const now = frame.platforms[name]
    const hour = providers.get(name)
    return [
      { text: name },
      { text: now ? three(now.qps) : '0', number: true },
      { text: now ? three(now.tps) : '0', number: true },
      { text: String(now?.in_flight ?? 0), number: true },
      { text: hour ? three(hour.requests) : '–', number: true },
      { text: percent(hour?.success_rate), number: true, mood: hour?.success_rate < 99 ? 'bad' : '' },
      { text: took(hour?.ttft_ms?.p95), number: true },
    ]
  })
}

/** Rows of cells, those that are there used again: a table that is made anew each second cannot be selected from. */
function fill(id, list, cells) {
  const body = at(id)
  while (body.rows.length > list.length) body.deleteRow(-1)
  list.forEach((one, i) => {
    const row = body.rows[i] ?? body.insertRow()
    cells(one).forEach(({ text, mood = '', number = false, title = false }, k) => {
      const cell = row.cells[k] ?? row.insertCell()
      if (cell.textContent !== text) cell.textContent = text
      cell.className = `${mood} ${number ? 'n' : ''}`.trim()
      if (title) cell.title = text
    })
  })
}

function showHealth({ score, components = [] }) {
  put('health', String(Math.round(score)))
  at('health').className = score >= 90 ? 'good' : score >= 70 ? 'warn' : 'bad'
  const why = components.filter(one => one.lost >= 0.5).sort((a, b) => b.lost - a.lost)
  items('health-why', why.slice(0, 2), one => [`−${Math.round(one.lost)} ${one.reason}`])
}

function showAlerts(answer) {
  const list = (Array.isArray(answer) ? answer : (answer.alerts ?? answer.events ?? answer.rows ?? [])).filter(
    one => one.resolved_at === null || one.resolved_at === undefined,
  )
  put('alerts-count', list.length === 0 ? 'none fires' : `${list.length} firing`)
  at('alerts-count').className = list.length > 0 ? 'bad' : ''
  items('alerts', list.slice(0, 20), one => [
    { pill: one.severity, mood: one.severity === 'P0' || one.severity === 'P1' ? 'bad' : 'warn' },
    `${one.title ?? one.rule}${one.description ? ` – ${one.description}` : ''}`,
    {
      small: ` since ${String(one.fired_at).slice(0, 16).replace('T', ' ')}${one.acked_at ? ', seen' : ''}${one.silenced ? ', silenced' : ''}`,
    },
  ])
}

function items(id, list, parts) {
  at(id).replaceChildren(
    ...list.map(one => {
      const item = document.createElement('li')
      for (const part of parts(one)) {
        if (typeof part === 'string') item.append(part)
        else {
          const element = document.createElement(part.pill === undefined ? 'small' : 'span')
          element.textContent = part.pill ?? part.small
          if (part.pill !== undefined) element.className = `pill ${part.mood}`
          item.append(element)
        }
      }
      return item
    }),
  )
}

function showHour({ rows }) {
  const to = Date.now()
  const span = { from: to - 3_600_000, to, gapMs: 150_000 }
  // Of the minute that runs not all is counted yet, and it would look like a fall.
  rows = rows.filter(row => Date.parse(row.at) + 60_000 <= to)
  const points = read => rows.map(row => ({ x: Date.parse(row.at), y: read(row) }))
  chart(
    'hour-requests',
    points(row => row.requests),
    span,
  )
  chart(
    'hour-ttft',
    points(row => row.ttft_ms?.p95 ?? null),
    span,
  )
  chart(
    'hour-errors',
    points(row => row.error_rate),
    span,
  )
  put('hour-note', rows.length === 0 ? 'Nothing is written down yet: that is done each ops.interval.' : '')
}

/** A line of points from nothing upwards; null is a gap. `gapMs`: so much between two points is one, too. */
function chart(id, points, { from, to, gapMs = Number.POSITIVE_INFINITY }) {
  const svg = at(id)
  const [width, height] = [300, 60]
  const most = Math.max(0, ...points.map(point => point?.y ?? 0))
  const runs = [[]]
  let before
  for (const point of points) {
    const missing = point === null || point.y === null || point.y === undefined
    if ((missing || (before !== undefined && point.x - before > gapMs)) && runs.at(-1).length > 0) runs.push([])
    if (missing) continue
    before = point.x
    const x = ((point.x - from) / (to - from)) * width
    const y = height - 1 - (most === 0 ? 0 : (point.y / most) * (height - 6))
    runs.at(-1).push(`${Math.max(0, x).toFixed(1)},${y.toFixed(1)}`)
  }
  const drawn = runs
    .filter(run => run.length > 0)
    .flatMap(run => {
      const line = run.length === 1 ? [run[0], run[0].replace(/^[\d.]+/, x => String(Number(x) + 1.5))] : run
      const [first, last] = [line[0].split(',')[0], line.at(-1).split(',')[0]]
      return [
        draw('polygon', { class: 'area', points: `${first},${height} ${line.join(' ')} ${last},${height}` }),
        draw('polyline', { class: 'stroke', points: line.join(' ') }),
      ]
    })
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`)
  svg.setAttribute('preserveAspectRatio', 'none')
  svg.setAttribute('role', 'img')
  svg.setAttribute('aria-label', `at most ${three(most)}`)
  svg.replaceChildren(draw('line', { class: 'base', x1: 0, x2: width, y1: height - 0.5, y2: height - 0.5 }), ...drawn)
  const caption = svg.parentElement.querySelector('figcaption')
  if (caption) {
    const peak = caption.querySelector('span') ?? caption.appendChild(document.createElement('span'))
    peak.className = 'peak'
    peak.textContent = `peak ${three(most)}`
  }
}

function draw(name, attributes) {
  const element = document.createElementNS(SVG, name)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
  return element
}

setInterval(tick, 500)
setInterval(() => at('ask').hidden && refresh(), REFRESH_MS)
start()
