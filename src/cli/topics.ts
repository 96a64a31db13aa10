// The pages of `gw help` that belong to no single command.
import { exits } from './errors.ts'

/** Each page is made when it is asked for. */
export const pages: Readonly<Record<string, () => string>> = {
  'exit-codes': () =>
    [
      'Exit codes',
      '',
      '  0    done',
      ...Object.values(exits).map(({ code, text }) => `  ${String(code).padEnd(5)}${text}`),
      '  130  interrupted with Ctrl-C (143: by SIGTERM)',
    ].join('\n'),

  config: () => `Configuration

A setting comes from, the strongest first:

  a flag         gw serve --listen 0.0.0.0:8080; --data-dir on every command
  the environment    GW_LOG_LEVEL=debug sets log.level
  the file       gw.yaml
  its default

The file is --config FILE, else the first of
  $CONFIGURATION_DIRECTORY/gw.yaml
  /etc/gw/gw.yaml
  $XDG_CONFIG_HOME/gw/gw.yaml (~/.config/gw/gw.yaml)
None at all is fine. Unknown keys are errors.

  gw config init             write an example with every setting
  gw config check            find every mistake, with file, line and column
  gw config show --origin    what is in force, and where it comes from
  gw config schema           a JSON Schema, for editors
  gw reload                  have the running daemon read it again, as SIGHUP does

A reload applies what docs/configuration.md marks so, and names what takes a restart. An invalid configuration is
never applied.

gw config --help shows their options.`,

  environment: () => `Environment

  GW_<SETTING>         any setting: log.level is GW_LOG_LEVEL, data_dir is GW_DATA_DIR
  DATABASE_URL         database.url, unless GW_DATABASE_URL is set
  REDIS_URL            redis.url, unless GW_REDIS_URL is set
  GW_KEY               the client key of gw try
  GW_NODE              the Node.js that bin/gw starts
  NO_COLOR             not empty: no colour; TERM=dumb does the same
  STATE_DIRECTORY, CONFIGURATION_DIRECTORY    set by systemd; where data and gw.yaml are
  XDG_DATA_HOME, XDG_CONFIG_HOME              the same for a user who is not root
  XDG_CACHE_HOME, CACHE_DIRECTORY             where compiled code is kept between starts

A variable that begins with GW_ and is no setting is an error.`,

  lists: () => `Lists

Every list fits the terminal it is shown on: text gives first, then the columns that matter least go, and a line on
stderr says which. Numbers and what names a record (ids, request ids, the beginning of a key) are never cut.

  -o table      the default; into a pipe it is as wide as it is
  -o wide       every column, however wide the terminal
  -o csv        every field of the records, as RFC 4180 has it; times ISO 8601, money exact
  -o yaml       the same as YAML
  -o json       the same as --json
  -o name       what names each record and nothing else: for xargs
  --columns at,user,cost    only these, in this order, with table, wide and csv; fields of --json are columns, too
  --no-headers  no heading

Ages are short: 5m, 2h5m, 3d4h ago; "in 3d4h" is to come.

  gw usage list --since 1h --columns request,user,model,charged
  gw key list -o name | xargs -n1 gw key show`,

  dialects: () => `Dialects

A key works in each of them, whatever the platform of its group: what an account speaks otherwise is translated, and
what has no twin there is named in the header x-gw-dropped of the answer.

  messages    POST /v1/messages                             ANTHROPIC_BASE_URL=http://HOST:PORT
  chat        POST /v1/chat/completions                     OPENAI_BASE_URL=http://HOST:PORT/v1
  responses   POST /v1/responses                            the same
  gemini      POST /v1beta/models/MODEL:generateContent     GOOGLE_GEMINI_BASE_URL=http://HOST:PORT

The key goes where the vendor's own clients put theirs: x-api-key, Authorization: Bearer, x-goog-api-key or ?key=.
With /antigravity before the path, accounts of that platform are asked.

  gw try --model MODEL "hello"                   in the dialect of the key's platform
  gw try --model MODEL --dialect chat "hello"    in another`,

  money: () => `Money

Amounts are decimal strings in USD, in and out: "12.50". They have at most nine decimals and are kept
exactly; no amount is ever a binary fraction.

  price      USD per million tokens, by kind of token: gw price show MODEL
  cost       what a request costs at that price, rounded once, half up, at the ninth decimal
  charged    cost times the multiplier of the key's group (0 is free); of a subscription, the cost
  balance    what a user has left: gw user show USER, gw user topup USER USD, gw ledger show --user USER
  limits     of a group's subscriptions: by day, by 7 days, by 30 days: gw sub show
  quota      what a key may spend in its life: gw key set KEY --quota USD

Before a request is sent, the most it may cost (its prompt and max_tokens) is put aside; what it did cost is
taken when it is done, and the rest is free again. gw ledger verify proves that it all adds up.

The price of a model is looked up by its exact name, then without a release date at its end
(claude-x-20260101 is claude-x), then among prices set for name*, the longest first. A name that only looks
alike is another model. A model without a price is refused, unless its group says what it costs:
gw group set GROUP --unknown-model free|MODEL.`,
}
