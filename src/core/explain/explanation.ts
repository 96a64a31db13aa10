// What `gw explain` knows of one request: the document that --json prints, and that the story for people is told from.

/** An account that could be chosen, as it stood at that moment. */
export interface Candidate {
  account: string
  account_id: number
  /** the lower is asked first */
  priority: number
  /** its place in the order of choice, 1 is the best; null: it could not be chosen */
  rank: number | null
  /** requests under way at it, and how many it may have (null: any number); both null where nobody asked */
  in_flight: number | null
  limit: number | null
  /** when it was last chosen, as a growing number within this process, 0: never; null where it did not matter */
  last_chosen: number | null
  /** the session is bound to it */
  sticky: boolean
  /** it was taken */
  chosen: boolean
  /** why it could not be, in words; null: it could */
  veto: string | null
  /** until when it was out, where that was known */
  until: string | null
}

/** One choice of an account. */
export interface Choice {
  /** ms after the request began */
  after_ms: number
  /**
   * `look`: all were looked at. `waiting`: the same by one who waits for a place, each second; this is the last of `looks`. `freed`: a
   * place came free while it waited. `beside`: of a route that takes no places.
   */
  how: 'look' | 'waiting' | 'freed' | 'beside'
  looks: number
  /** name of the account; null: nobody could be had */
  chosen: string | null
  /** in the order of choice, then those that could not be chosen */
  candidates: Candidate[]
  /** further accounts of the group that are not listed here: passed over without a look, since these came first, or too many to tell */
  not_looked_at: number
  not_listed: number
}

export interface Attempt {
  account: string
  account_id: number
  started_ms: number
  ended_ms: number
  /** HTTP status of the upstream, or what it amounts to; 0 when none came */
  status: number
  /** why it was not used; '' when it answered */
  error: string
  /** what that means for the account, a class of platform/verdict.ts; `proofs`, `client`, or '' */
  kind: string
  /** in the upstream's own words, and its finer word */
  error_type: string
  error_code: string
  /** what it said, redacted */
  excerpt: string
  upstream_request_id: string | null
  /** until when the account is left alone for it */
  out_until: string | null
  /** what came next, in words */
  followed_by: string
  proxy: string | null
  /** which of the choices led to it */
  choice: number | null
}

export interface Wait {
  for: 'user' | 'key' | 'account'
  after_ms: number
  ms: number
  /** it is still waiting */
  now: boolean
}

export interface UsageRead {
  input_tokens: number
  output_tokens: number
  cache_read_tokens: number
  cache_write_5m_tokens: number
  cache_write_30m_tokens: number
  cache_write_1h_tokens: number
  cache_write_12h_tokens: number
  web_searches: number
  mode: string | null
  geo: string | null
  /** it is reckoned in part: the answer broke off, or its usage was not told */
  partial: boolean
}

/** Money is in decimal strings of USD, times are ISO 8601 in UTC. */
export interface Explanation {
  request_id: string
  /** `recorded`: by the gateway that served it. `database`: pieced together from usage, error log and ledger */
  source: 'recorded' | 'database'
  state: 'ended' | 'under way'
  /** how far it is, while it is under way */
  phase: string | null
  at: string
  duration_ms: number | null
  first_token_ms: number | null
  /** what the client saw; 499 when it left; null while it is under way */
  status: number | null
  /** how much the client got of an upstream's answer */
  completion: 'none' | 'partial' | 'complete'
  /** gw's own code where gw ended it */
  code: string | null
  error: string | null
  /** what ended it, in the words of Envoy's access log (docs/errors.md); null when it went well */
  cause: string | null
  ip: string | null
  user: string | null
  user_id: number | null
  key: string | null
  key_id: number | null
  group: string | null
  group_id: number | null
  method: string | null
  path: string | null
  dialect: string | null
  platform: string | null
  model: string | null
  upstream_model: string | null
  stream: boolean
  /** it is a call that is metered */
  metered: boolean
  /** answered here, as a warmup request */
  intercepted: boolean
  waits: Wait[]
  choices: Choice[]
  attempts: Attempt[]
  /** of the last attempt; null: bytes passed */
  translation: { from: string; to: string; left_out: string[]; changed: string[] } | null
  /** what was left out of a request that was not translated: proofs of another's reasoning */
  left_out: string[]
  usage: UsageRead | null
  price: {
    /** where it was found: `operator:model`, `shipped:model`, `fallback:shipped:model`, `free` */
    source: string
    /** in force since */
    since: string | null
    multiplier: string
  } | null
  /** at list price, and what was taken of the payer */
  cost: string | null
  charged: string | null
  billing: 'balance' | 'subscription' | null
  subscription_id: number | null
  /** what was to be put aside before it was sent, of what */
  reserve: { of: string; amount: string }[]
  /** `none`: nothing was put aside and nothing used. `reserved`: it is put aside. `released`: it was given back. `booked`: the cost took its place */
  settlement: 'none' | 'reserved' | 'released' | 'booked' | null
  links: Links | null
  /** what is not known here, and why, in words */
  not_known: string[]
}

/** What else the database has of it. */
export interface Links {
  /** its usage row: `gw usage list` */
  usage: { at: string; cost: string; charged: string; partial: boolean } | null
  /** its ledger entry: `gw ledger show` */
  ledger: { entry_id: string; kind: string; amount: string; balance: string } | null
  /** its row in the error log: `gw ops errors` */
  error: {
    severity: string
    phase: string
    owner: string
    type: string
    recovered: boolean
    cause: string
    message: string
  } | null
  /** alerts that were firing at some time while it was under way: `gw alert list` */
  alerts: {
    id: number
    rule: string
    dimension: string
    severity: string
    fired_at: string
    resolved_at: string | null
  }[]
}
