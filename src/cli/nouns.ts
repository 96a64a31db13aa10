// The words a command begins with: what each is for, and the module that knows the rest of it.
import type { CommandModule } from './command.ts'

export interface Noun {
  /** its heading in `gw --help` */
  group: 'Run' | 'Set up' | 'Watch' | 'Look into'
  /** one line, no full stop */
  summary: string
  load: () => Promise<CommandModule>
}

/** In the order of `gw --help`. Only the module of the noun that was typed is ever imported. */
export const nouns: Readonly<Record<string, Noun>> = {
  serve: {
    group: 'Run',
    summary: 'run the gateway in the foreground; --demo needs no provider key',
    load: () => import('./commands/serve.ts'),
  },
  reload: {
    group: 'Run',
    summary: 'have the daemon read its configuration again; --dry-run tells what it would do',
    load: () => import('./commands/reload.ts'),
  },
  drain: {
    group: 'Run',
    summary: 'let the running daemon take no new requests, or --undo that',
    load: () => import('./commands/drain.ts'),
  },
  stop: {
    group: 'Run',
    summary: 'end the running daemon in order, or --now',
    load: () => import('./commands/stop.ts'),
  },
  try: {
    group: 'Run',
    summary: 'send one request through the gateway, with timing and cost',
    load: () => import('./commands/try.ts'),
  },
  mock: {
    group: 'Run',
    summary: 'run a scripted provider to test against',
    load: () => import('./commands/mock.ts'),
  },
  user: {
    group: 'Set up',
    summary: 'who pays: add, list, show, set, topup, deduct, rm',
    load: () => import('./commands/user.ts'),
  },
  group: {
    group: 'Set up',
    summary: 'pools of accounts with a price: add, list, show, set, allow, deny, rm',
    load: () => import('./commands/group.ts'),
  },
  account: {
    group: 'Set up',
    summary: 'upstream credentials: add, list, show, set, models, test, refresh, login, pause, resume, clear, rm',
    load: () => import('./commands/account.ts'),
  },
  proxy: {
    group: 'Set up',
    summary: 'ways out to upstreams: add, list, show, set, test, rm',
    load: () => import('./commands/proxy.ts'),
  },
  key: {
    group: 'Set up',
    summary: 'what clients present: create, list, show, set, rotate, revoke',
    load: () => import('./commands/key.ts'),
  },
  sub: {
    group: 'Set up',
    summary: 'subscriptions of users to groups: assign, list, show, extend, revoke',
    load: () => import('./commands/sub.ts'),
  },
  config: {
    group: 'Set up',
    summary: 'the configuration: init, check, show, schema',
    load: () => import('./commands/config.ts'),
  },
  db: {
    group: 'Set up',
    summary: 'the database: status, migrate',
    load: () => import('./commands/db.ts'),
  },
  top: {
    group: 'Watch',
    summary: 'live view of accounts, users and traffic',
    load: () => import('./commands/top.ts'),
  },
  status: {
    group: 'Watch',
    summary: 'what the running daemon says of itself',
    load: () => import('./commands/status.ts'),
  },
  logs: {
    group: 'Watch',
    summary: 'what the daemon writes down: -f to follow, --where to filter',
    load: () => import('./commands/logs.ts'),
  },
  ping: {
    group: 'Watch',
    summary: 'whether the daemon answers, for scripts',
    load: () => import('./commands/ping.ts'),
  },
  slots: {
    group: 'Watch',
    summary: 'places that requests hold: list, clear',
    load: () => import('./commands/slots.ts'),
  },
  queue: {
    group: 'Watch',
    summary: 'requests that wait for a place: list',
    load: () => import('./commands/queue.ts'),
  },
  sticky: {
    group: 'Watch',
    summary: 'sessions and the accounts they return to: show, clear',
    load: () => import('./commands/sticky.ts'),
  },
  ops: {
    group: 'Watch',
    summary:
      'what gw sees of itself: overview, history, providers, latency, dimensions, errors, health, retention, watch',
    load: () => import('./commands/ops.ts'),
  },
  alert: {
    group: 'Watch',
    summary: 'what fires and who was told: list, show, ack, resolve, silence, silences, unsilence, test; rule, channel',
    load: () => import('./commands/alert.ts'),
  },
  explain: {
    group: 'Look into',
    summary: 'what became of a request: why this account, what was tried, what it cost',
    load: () => import('./commands/explain.ts'),
  },
  usage: {
    group: 'Look into',
    summary: 'what was used and what it cost: list, stats, export',
    load: () => import('./commands/usage.ts'),
  },
  price: {
    group: 'Look into',
    summary: 'what models cost: list, show, set, import, diff, lint, rm',
    load: () => import('./commands/price.ts'),
  },
  ledger: {
    group: 'Look into',
    summary: 'every movement of balances: show, verify; usage that was refused',
    load: () => import('./commands/ledger.ts'),
  },
  version: {
    group: 'Look into',
    summary: 'which gw this is',
    load: () => import('./commands/version.ts'),
  },
  help: {
    group: 'Look into',
    summary: 'help on a command or a topic',
    load: () => import('./commands/help.ts'),
  },
}
