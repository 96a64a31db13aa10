// Every setting of gw, once: its kind, default, whether a reload applies it, and what it means; long, because it is all of them.

import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { cidrProblem } from '../lib/address.ts'
import { address, addressOrOff, originProblem } from './address.ts'
import {
  boolean,
  duration,
  integer,
  type Kind,
  list,
  listOf,
  oneOf,
  path,
  secret,
  size,
  string,
  timezone,
  url,
  usd,
} from './kinds.ts'
import { postgresUrl, redisUrl } from './server-url.ts'

/** What a derived default may look at. */
export interface Surroundings {
  readonly env: NodeJS.ProcessEnv
  /** The numeric user, 0 for root; undefined where the system has none. */
  readonly uid: number | undefined
  /** The folder settled on for `data_dir`. */
  readonly dataDir: string
}

/** A default that depends on where gw runs. */
export interface Derived {
  /** The rule in words, in Markdown. */
  readonly rule: string
  /** A typical outcome, for the example file. */
  readonly example: string
  /** The value itself, with an absolute path. */
  from(where: Surroundings): string
}

/** Undefined means the setting is simply absent unless given. */
export type Default = string | Derived | undefined

export interface Setting<T = unknown, D extends Default = Default> {
  readonly type: Kind<T>
  readonly default: D
  /** Whether a reload may apply a change; the rest need a restart. */
  readonly reloadable: boolean
  /** One sentence, in Markdown. */
  readonly text: string
  /** What the example file shows when there is no default. */
  readonly example?: string
}

const live = <T, const D extends Default>(type: Kind<T>, fallback: D, text: string): Setting<T, D> => {
  return { type, default: fallback, reloadable: true, text }
}
const fixed = <T, const D extends Default>(type: Kind<T>, fallback: D, text: string): Setting<T, D> => {
  return { type, default: fallback, reloadable: false, text }
}
const absent = <T>(type: Kind<T>, example: string, text: string): Setting<T, undefined> => {
  return { type, default: undefined, reloadable: false, text, example }
}

const liveAbsent = <T>(type: Kind<T>, example: string, text: string): Setting<T, undefined> => {
  return { ...absent(type, example, text), reloadable: true }
}

const dataDir: Derived = {
  rule: '`$STATE_DIRECTORY`, else `/var/lib/gw` for root, else `$XDG_DATA_HOME/gw` or `~/.local/share/gw`',
  example: '/var/lib/gw',
  from({ env, uid }) {
    // systemd joins several state directories with colons; the first is the main one.
    const state = env['STATE_DIRECTORY']?.split(':')[0]
    if (state) return state
    return uid === 0 ? '/var/lib/gw' : join(xdg(env, 'XDG_DATA_HOME', '.local/share'), 'gw')
  },
}

const inDataDir = (name: string): Derived => ({
  rule: `\`<data_dir>/${name}\``,
  example: `/var/lib/gw/${name}`,
  from: ({ dataDir }) => join(dataDir, name),
})

/** The XDG base folder `name`, or its place below the home folder. Relative ones are ignored, as XDG asks. */
export function xdg(env: NodeJS.ProcessEnv, name: 'XDG_DATA_HOME' | 'XDG_CONFIG_HOME', below: string): string {
  const folder = env[name]
  return folder && isAbsolute(folder) ? folder : join(env['HOME'] || homedir(), below)
}

/** Headings of the example file and the reference page, by what stands before a key's dot. */
export const sections: Readonly<Record<string, string>> = {
  '': 'Process',
  database: 'Database',
  redis: 'Redis',
  ops: 'Operations',
  alerts: 'Alerts',
  smtp: 'Mail',
  notify: 'Notifications',
  otel: 'OpenTelemetry',
  cors: 'Web pages',
  control: 'Control socket',
  secret: 'Secrets',
  log: 'Log',
  limits: 'Limits of a request',
  timeouts: 'Timeouts',
  queue: 'Waiting for a slot',
  sticky: 'Sticky sessions',
  failover: 'Failover',
  warmup: 'Warmup requests, answered here for accounts that ask for it',
  translate: 'Translation between dialects',
  models: 'What models can do',
  billing: 'Billing',
  usage: 'Usage records',
  keys: 'Client keys',
  defaults: 'Defaults of new records',
  oauth: 'OAuth accounts',
  upstream: 'Upstream connections',
}

/** The table. Code reads `config['timeouts.connect']`; durations are milliseconds, sizes bytes. */
export const settings = {
  listen: fixed(address('127.0.0.1:8080'), '127.0.0.1:8080', 'Where clients connect.'),
  trusted_proxies: live(
    listOf('IPs and CIDRs', cidrProblem),
    'none',
    'Proxies in front of gw whose `X-Forwarded-For` is believed: it is read from the right, and the first address that is not one of these is the client, for `--allow-ip`, the log and `limits.bad_keys`.',
  ),
  data_dir: fixed(path(), dataDir, 'Folder of the embedded database, the spool, the key file and the control socket.'),
  workers: fixed(
    integer(1, 64),
    '1',
    'Processes that serve traffic. As yet gw serves with one and refuses more: run `gw serve` once for each, with its own `data_dir`, `listen` and `ops.listen` and the same `database.url`, `redis.url` and `secret.key_file`.',
  ),
  drain_timeout: live(duration('0s'), '600s', 'How long a stopping gw lets requests in flight finish.'),
  timezone: fixed(timezone(), 'UTC', 'Where days begin for subscription windows.'),
  'database.url': absent(
    postgresUrl(),
    'postgres://gw@127.0.0.1:5432/gw',
    "Postgres to keep durable state in; without it gw runs an embedded one in `data_dir`. `?sslmode=` is libpq's: `disable`, `prefer` (the default, but on loopback), `require` (encrypts, believes any certificate), `verify-ca` and `verify-full` with `sslrootcert=FILE`; `sslcert` and `sslkey` are ours.",
  ),
  'database.pool_size': fixed(integer(4, 1000), '10', 'Database connections kept by each process.'),
  'redis.url': absent(
    redisUrl(),
    'redis://127.0.0.1:6379/0',
    'Redis 6 or newer to share live state through, a cluster as `redis://a:1,b:2,c:3`; without it that state lives in the one process.',
  ),
  'redis.ca_file': absent(
    path(),
    '/etc/gw/redis-ca.pem',
    'Certificate of the authority that signed that of a `rediss` server; without it those that everybody trusts.',
  ),
  'ops.listen': fixed(
    addressOrOff('127.0.0.1:9464'),
    '127.0.0.1:9464',
    'Where `/metrics`, `/livez`, `/readyz` and `/ops/*` are served.',
  ),
  'ops.token': liveAbsent(
    secret(),
    'a-long-random-word',
    'Bearer token for `/ops/*`; required when `ops.listen` is not loopback.',
  ),
  'ops.interval': fixed(
    duration('1s', '1h'),
    '60s',
    'How often what happened is written down and alert rules are evaluated.',
  ),
  'ops.metrics.keep': live(
    duration('0s', '36500d'),
    '30d',
    'How long metrics of processes are kept; 0s is for ever. `gw ops retention set` goes before this and the others.',
  ),
  'ops.cells.keep': live(
    duration('0s', '36500d'),
    '2d',
    'How long counts of each `ops.interval` by platform, group, account and model are kept, which alert rules read; 0s is for ever.',
  ),
  'ops.dimensions.keep_minutes': live(
    duration('0s', '36500d'),
    '30d',
    'How long statistics by account, model, user, key, platform, group and path are kept by minute; 0s is for ever.',
  ),
  'ops.dimensions.keep_hours': live(duration('0s', '36500d'), '180d', 'The same, by hour; 0s is for ever.'),
  'ops.dimensions.keep_days': live(duration('0s', '36500d'), '730d', 'The same, by day; 0s is for ever.'),
  'ops.errors.keep': live(duration('0s', '36500d'), '30d', 'How long the error log is kept; 0s is for ever.'),
  'ops.explain.keep': live(
    duration('0s', '30d'),
    '24h',
    'How long `gw explain` knows what became of a request, in time that gw ran; 0s is not at all.',
  ),
  'ops.explain.size': live(
    size('1MB', '1024GB'),
    '4GB',
    'What that may take of the disk below `data_dir`; the oldest is deleted before its time. A request takes 500 bytes or more.',
  ),
  'ops.ws.connections': live(integer(0, 10_000), '100', 'Most connections to the live stream, `/ops/ws`; 0 is none.'),
  'ops.ws.connections_per_address': live(integer(1, 10_000), '20', 'The most of them from one address.'),
  'ops.ws.origin': live(
    oneOf('strict', 'permissive'),
    'permissive',
    'Who may open the live stream: with an `Origin`, only pages of the host that was asked; without one, everybody (`permissive`) or nobody (`strict`).',
  ),
  'alerts.file': liveAbsent(
    path(),
    '/etc/gw/alerts.yaml',
    'Alert rules of yours, of the shape of `config/alerts.yaml`; `gw alert rule check FILE` says what is wrong in it.',
  ),
  'alerts.keep': live(duration('0s', '36500d'), '90d', 'How long alerts that are over are kept; 0s is for ever.'),
  'smtp.url': liveAbsent(
    url(['smtp', 'smtps'], 'smtp://gw@mail.example.com:587'),
    'smtp://gw@mail.example.com:587',
    'Where mail is handed in: `smtps` is TLS at once, `smtp` is STARTTLS where it is offered, and with a user it must be, unless the server is on this machine.',
  ),
  'smtp.password_file': liveAbsent(
    path(),
    '/etc/gw/smtp.password',
    'File with the password for the user in `smtp.url`.',
  ),
  'smtp.from': liveAbsent(string(/^[^\r\n]+@[^\r\n]+$/, 'an address'), 'gw@example.com', 'Whose mails they are.'),
  'notify.hourly_cap': live(
    integer(0, 10_000),
    '20',
    'Most messages to one channel within an hour; what is held back is told in one digest. 0 is no limit.',
  ),
  'notify.allow_private': fixed(
    boolean(),
    'false',
    'Whether webhooks may be sent to private and loopback addresses, and by plain http.',
  ),
  'otel.endpoint': absent(
    url(['http', 'https'], 'http://127.0.0.1:4318'),
    'http://127.0.0.1:4318',
    'Where traces and metrics of OpenTelemetry are sent, by OTLP over HTTP; without it none are made.',
  ),
  'otel.sample': fixed(
    integer(0, 100),
    '100',
    'Of a hundred requests without a `traceparent` of their own, how many are traced.',
  ),
  'cors.origins': live(
    listOf('origins', originProblem),
    'none',
    'Web pages that may ask gw from a browser, by origin (`https://chat.example.com`); `*` is any.',
  ),
  'control.socket': fixed(
    path(),
    inDataDir('gw.sock'),
    'Unix socket through which commands reach the daemon: 0600 in `data_dir`, 0660 elsewhere.',
  ),
  'secret.key_file': fixed(
    path(),
    inDataDir('secret.key'),
    'Key (0600, created at first start) that encrypts upstream credentials and digests client keys.',
  ),
  'log.level': live(
    oneOf('trace', 'debug', 'info', 'warn', 'error'),
    'info',
    'The least severe lines that are logged.',
  ),
  'log.format': fixed(
    oneOf('auto', 'pretty', 'json', 'journald'),
    'auto',
    'How log lines look; `auto` is pretty on a terminal and JSON otherwise.',
  ),
  'limits.body': live(size('1KB', '1GB'), '100MB', 'Largest request body as it arrives.'),
  'limits.headers': live(size('1KB', '1MB'), '32KB', 'Largest request head.'),
  'limits.decoded_body': live(
    size('1KB', '1GB'),
    '100MB',
    'Largest request body after its content-encoding is undone.',
  ),
  'limits.bad_keys': live(
    integer(0, 1_000_000),
    '20',
    'Unknown keys that one client address (of IPv6 a /64) may show within a minute; then requests from it with keys that were not seen to be good are answered 429 until the minute is over. 0 is no limit.',
  ),
  'timeouts.request_header': live(duration(), '15s', 'Time a client has to send its headers.'),
  'timeouts.request_body': live(duration(), '300s', 'Time a client has to send its body.'),
  'timeouts.keep_alive': live(
    duration(),
    '75s',
    'Idle time of a client connection; keep it longer than that of a proxy in front.',
  ),
  'timeouts.connect': live(duration(), '10s', 'Time to connect to an upstream.'),
  'timeouts.response_header': live(
    duration(),
    '120s',
    'Time from a request for a stream sent to the head of its response; then another account is tried.',
  ),
  'timeouts.whole_answer': live(
    duration(),
    '600s',
    'Time from a request for a whole answer sent to the head of its response; then it ends, since asking again would be paid twice.',
  ),
  'timeouts.first_token': live(
    duration(),
    '120s',
    'Time from the head of a response to its first meaningful frame; then another account is tried.',
  ),
  'timeouts.idle': live(duration(), '180s', 'Longest silence inside an upstream stream.'),
  'queue.seats': live(integer(0, 100_000), '20', 'Requests of one user that may wait beyond its concurrency.'),
  'queue.wait': live(duration('0s'), '30s', 'Longest wait for a slot.'),
  'queue.ping_interval': live(duration('1s'), '10s', 'Time between pings to a streaming client that waits.'),
  'queue.account_seats': live(
    integer(0, 100_000),
    '100',
    'Requests of one user that may wait, for each account of the group.',
  ),
  'sticky.ttl': live(duration('0s'), '1h', 'How long a quiet session stays with its account.'),
  'failover.max_switches': live(integer(0, 100), '10', 'How many more accounts one request may try.'),
  'warmup.texts': live(
    list(),
    'Please write a 5-10 word title for the following conversation:',
    'A user text that contains one of these is a warmup request.',
  ),
  'warmup.exact': live(list(), 'Warmup', 'A user text that is exactly one of these is a warmup request.'),
  'warmup.system': live(
    list(),
    'extract a 2-3 word title',
    'A system text that contains one of these makes a warmup request.',
  ),
  'translate.auto_cache': live(
    boolean(),
    'true',
    'Clients that cannot ask for a prompt cache have it asked for them where a vendor can place it by itself: without it every turn of a conversation is paid in full.',
  ),
  'translate.fetch_urls': live(
    boolean(),
    'true',
    'Images and documents that a client names by https URL are fetched for upstreams that must be given the bytes (Gemini and Antigravity): from public addresses only, following no redirect, within 10 s and `limits.decoded_body`. If not, such a request is refused.',
  ),
  'models.file': liveAbsent(
    path(),
    '/etc/gw/models.json',
    'What models can do, put over what gw knows: JSON of the shape of `config/models.json`, by vendor and name (`claude-x*` for all that begin so), each row saying only what differs. `gw config check` says what is wrong in it.',
  ),
  'models.refresh_interval': live(
    duration('0s', '30d'),
    '6h',
    "How often providers that list their models (Antigravity's) are asked which an account serves, of accounts without a mapping of their own. 0s is never: they serve what gw knows.",
  ),
  'billing.overdraft': live(
    usd(),
    '0',
    'How far a balance may fall below zero. A request is let in while its worst case fits above that.',
  ),
  'billing.bytes_per_token': live(
    integer(1, 8),
    '2',
    'Bytes of a request body that are reckoned as one input token when its worst case is put aside; the fewer, the safer.',
  ),
  'billing.max_output': live(
    integer(1, 10_000_000),
    '32000',
    'Output tokens put aside for a request that names no limit of its own.',
  ),
  'billing.disk_full': live(
    oneOf('refuse', 'serve'),
    'refuse',
    'When usage cannot be written to the spool: refuse new requests, or serve them and keep their usage in memory until it can.',
  ),
  'billing.min_free_disk': live(
    size('0B', '1024GB'),
    '64MB',
    'With less space than this for the spool the disk counts as full.',
  ),
  'usage.batch': fixed(integer(1, 10_000), '2000', 'Most usage rows written at once.'),
  'usage.flush_interval': fixed(duration('10ms', '1m'), '200ms', 'Longest time a usage row waits to be written.'),
  'usage.keep': live(
    duration('0s', '36500d'),
    '90d',
    'How long usage rows are kept, in whole months; 0s is for ever. The ledger always is.',
  ),
  'usage.keep_minutes': live(duration('0s', '36500d'), '2d', 'How long sums by minute are kept; 0s is for ever.'),
  'usage.keep_hours': live(duration('0s', '36500d'), '180d', 'How long sums by hour are kept; 0s is for ever.'),
  'usage.keep_days': live(duration('0s', '36500d'), '730d', 'How long sums by day are kept; 0s is for ever.'),
  'keys.prefix': live(
    string(/^[A-Za-z0-9_-]{1,32}$/, '1 to 32 letters, digits, _ or -'),
    'sk-',
    'What a new client key starts with.',
  ),
  'defaults.user_concurrency': live(integer(0, 100_000), '5', 'Concurrency of a new user; 0 is no limit.'),
  'defaults.account_concurrency': live(integer(0, 100_000), '3', 'Concurrency of a new account; 0 is no limit.'),
  'defaults.account_priority': live(integer(1, 100), '50', 'Priority of a new account; the lowest is chosen first.'),
  'oauth.refresh_before': live(
    duration('10s', '7d'),
    '30m',
    'How long before its end the access token of an OAuth account is refreshed; one that lives shorter than twice that, at half of its life.',
  ),
  'oauth.check_interval': fixed(duration('1s', '1h'), '5s', 'How often it is looked for tokens that are due.'),
  'upstream.engine': fixed(
    oneOf('auto', 'wire', 'proxy'),
    'auto',
    'What speaks HTTP to upstreams. `wire` is made for this path and takes a fraction of the CPU; `proxy` is node:http with its long-proven parser, for an upstream that `wire` does not get on with. `auto` is `wire`.',
  ),
  'upstream.idle_connections': fixed(integer(0, 65_535), '256', 'Idle connections kept open to each upstream origin.'),
  'upstream.allow_private': fixed(
    boolean(),
    'true',
    'Whether the base URL of an account may point at a private or loopback address, and be plain http. If not, every connection is judged by the addresses that it is made to; behind an egress proxy, which looks names up itself, only what the URL says is.',
  ),
} as const satisfies Record<string, Setting>

export type SettingKey = keyof typeof settings

type ValueOf<S> = S extends Setting<infer T, infer D> ? (D extends undefined ? T | undefined : T) : never

/** Every setting by its dotted key, read and checked; undefined only for settings without a default. */
export type Config = { readonly [K in SettingKey]: ValueOf<(typeof settings)[K]> }

/** All keys, in the order of the table. */
export const settingKeys = Object.keys(settings) as SettingKey[]

/** Whether `key` is a setting. */
export function isSettingKey(key: string): key is SettingKey {
  return Object.hasOwn(settings, key)
}

/** `database.pool_size` → `GW_DATABASE_POOL_SIZE`. */
export function envName(key: SettingKey): string {
  return `GW_${key.replaceAll('.', '_').toUpperCase()}`
}

/** `data_dir` → `--data-dir`. */
export function flagName(key: SettingKey): string {
  return `--${key.replaceAll(/[._]/g, '-')}`
}

/** How `value` may be printed: in its shortest spelling, secrets as `***`, `none` for undefined. */
export function shown<K extends SettingKey>(key: K, value: Config[K]): string {
  const type: Kind<unknown> = settings[key].type
  return value === undefined ? 'none' : type.show(value)
}
