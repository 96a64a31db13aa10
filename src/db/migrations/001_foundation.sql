-- The nouns an operator works with, and the usage that requests leave behind.
-- Every noun's id is a small integer; names are unique among what is not deleted.
-- Money is bigint nano-USD (1e-9 USD); rates are nano-USD per million tokens.

create table users (
  id           integer generated always as identity primary key,
  name         text not null check (name <> ''),
  email        text,
  concurrency  integer not null,                         -- requests at once; <= 0 means no limit
  status       text not null default 'active' check (status in ('active', 'disabled')),
  created_at   timestamptz not null default now(),
  updated_at   timestamptz not null default now(),
  deleted_at   timestamptz
);
create unique index users_name on users (name) where deleted_at is null;
create unique index users_email on users (lower(email)) where deleted_at is null;

-- Apart from users, because it changes with every request and must not wake every process's snapshot.
create table balances (
  user_id      integer primary key references users,
  balance      bigint not null default 0,
  updated_at   timestamptz not null default now()
);

create table groups (
  id            integer generated always as identity primary key,
  name          text not null check (name <> ''),
  platform      text not null check (platform in ('anthropic', 'openai', 'gemini', 'antigravity')),
  multiplier    numeric(10, 4) not null default 1 check (multiplier >= 0),   -- 0 means free
  billing       text not null default 'balance' check (billing in ('balance', 'subscription')),
  daily_limit   bigint check (daily_limit > 0),
  weekly_limit  bigint check (weekly_limit > 0),
  monthly_limit bigint check (monthly_limit > 0),
  exclusive     boolean not null default false,
  created_at    timestamptz not null default now(),
  updated_at    timestamptz not null default now(),
  deleted_at    timestamptz
);
create unique index groups_name on groups (name) where deleted_at is null;

create table proxies (
  id          integer generated always as identity primary key,
  name        text not null check (name <> ''),
  url         bytea not null,                            -- encrypted: it may carry a password
  created_at  timestamptz not null default now(),
  deleted_at  timestamptz
);
create unique index proxies_name on proxies (name) where deleted_at is null;

create table accounts (
  id               integer generated always as identity primary key,
  name             text not null check (name <> ''),
  platform         text not null check (platform in ('anthropic', 'openai', 'gemini', 'antigravity')),
  type             text not null check (type in ('apikey', 'oauth')),
  credential       bytea not null,                       -- AES-256-GCM, see lib/secret
  base_url         text,                                 -- null: the platform's own
  concurrency      integer not null,                     -- <= 0 means no limit
  priority         integer not null check (priority between 1 and 100),   -- lower is chosen first
  status           text not null default 'active' check (status in ('active', 'paused', 'error')),
  reason           text,                                 -- why it is paused or in error
  model_map        jsonb not null default '{}',          -- requested model or prefix* -> upstream model
  intercept_warmup boolean not null default false,
  proxy_id         integer references proxies,
  expires_at       timestamptz,
  created_at       timestamptz not null default now(),
  updated_at       timestamptz not null default now(),
  deleted_at       timestamptz
);
create unique index accounts_name on accounts (name) where deleted_at is null;

create table account_groups (
  account_id  integer not null references accounts,
  group_id    integer not null references groups,
  primary key (account_id, group_id)
);
create index account_groups_group on account_groups (group_id);

create table api_keys (
  id           integer generated always as identity primary key,
  user_id      integer not null references users,
  group_id     integer references groups,
  name         text not null check (name <> ''),
  prefix       text not null,                            -- what may be shown of it
  digest       bytea not null unique,                    -- HMAC-SHA256 under the installation's secret; a value is never used twice
  status       text not null default 'active' check (status in ('active', 'revoked')),
  quota        bigint check (quota > 0),
  expires_at   timestamptz,
  concurrency  integer check (concurrency > 0),
  rpm          integer check (rpm > 0),
  tpm          integer check (tpm > 0),
  allow_ip     text[] not null default '{}',
  models       text[] not null default '{}',
  created_at   timestamptz not null default now(),
  updated_at   timestamptz not null default now(),
  revoked_at   timestamptz
);
create unique index api_keys_name on api_keys (name) where status = 'active';
create index api_keys_user on api_keys (user_id);

-- Prices an operator set; they stand over those that gw ships.
create table prices (
  model           text not null,
  effective_from  timestamptz not null default now(),
  input           bigint not null check (input >= 0),
  output          bigint not null check (output >= 0),
  cache_write_5m  bigint check (cache_write_5m >= 0),
  cache_write_1h  bigint check (cache_write_1h >= 0),
  cache_read      bigint check (cache_read >= 0),
  tier            jsonb,                                 -- {"above": tokens, input, output, …}: reprices the whole request
  primary key (model, effective_from)
);

create table settings (
  key    text primary key,
  value  jsonb not null
);

-- One row a request. Partitions are months: retention drops them whole. `at` is when the request began, fixed
-- with its id, so that (request_id, at) makes a row idempotent although the key of a partitioned table must hold `at`.
create table usage (
  request_id            uuid not null,
  at                    timestamptz not null,
  user_id               integer not null,
  key_id                integer not null,
  group_id              integer,
  account_id            integer,
  platform              text not null,
  model                 text not null,
  upstream_model        text,
  upstream_request_id   text,
  stream                boolean not null,
  status                smallint not null,
  input_tokens          integer not null default 0,
  output_tokens         integer not null default 0,
  cache_write_5m_tokens integer not null default 0,
  cache_write_1h_tokens integer not null default 0,
  cache_read_tokens     integer not null default 0,
  cost                  bigint not null default 0,       -- at list price
  charged               bigint not null default 0,       -- cost times the group's multiplier
  billing               text not null,
  price                 text,                            -- which price answered: layer and model name
  partial               boolean not null default false,  -- the stream broke before its final usage
  duration_ms           integer not null,
  first_token_ms        integer,
  attempts              smallint not null default 1,
  primary key (request_id, at)
) partition by range (at);
create index usage_at on usage (at);
create index usage_user on usage (user_id, at);
create index usage_key on usage (key_id, at);
create index usage_account on usage (account_id, at);

-- Makes the month's partition of `usage` that holds the instant; cheap when it is there.
create function usage_partition(instant timestamptz) returns void language plpgsql as $$
declare
  first date := date_trunc('month', instant at time zone 'UTC')::date;
  name text := 'usage_' || to_char(first, 'YYYYMM');
begin
  if to_regclass(name) is null then
    execute format('create table if not exists %I partition of usage for values from (%L) to (%L)',
      name, first::timestamp at time zone 'UTC', (first + interval '1 month')::timestamp at time zone 'UTC');
  end if;
end $$;

-- Whoever changes a noun, by gw or by psql, every process hears of it and takes a new snapshot.
create function gw_changed() returns trigger language plpgsql as $$
begin
  perform pg_notify('gw_changed', tg_table_name);
  return null;
end $$;
create trigger changed after insert or update or delete or truncate on users          for each statement execute function gw_changed();
create trigger changed after insert or update or delete or truncate on groups         for each statement execute function gw_changed();
create trigger changed after insert or update or delete or truncate on proxies        for each statement execute function gw_changed();
create trigger changed after insert or update or delete or truncate on accounts       for each statement execute function gw_changed();
create trigger changed after insert or update or delete or truncate on account_groups for each statement execute function gw_changed();
create trigger changed after insert or update or delete or truncate on api_keys       for each statement execute function gw_changed();
create trigger changed after insert or update or delete or truncate on prices         for each statement execute function gw_changed();
create trigger changed after insert or update or delete or truncate on settings       for each statement execute function gw_changed();
