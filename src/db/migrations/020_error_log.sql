-- Requests that failed, and those that only another account saved (recovered). Kept by days, dropped by days; no more indexes
-- than queries need, since a burst of errors is when writing must be cheap. A request id begins with its time (UUID version 7).
create table error_log (
  at                  timestamptz not null,                -- when the request ended
  request_id          uuid not null,
  process             text not null,
  ip                  inet,
  user_id             integer,
  key_id              integer,
  group_id            integer,
  account_id          integer,                             -- asked last
  phase               text not null,                       -- request auth billing concurrency routing upstream network internal
  type                text not null,                       -- as the client was told
  code                text not null,                       -- ours (lib/failure.ts)
  severity            text not null,                       -- P0 P1 P2 P3
  owner               text not null,                       -- client provider platform
  source              text not null,                       -- client_request upstream_http gateway
  limited             boolean not null,                    -- a limit of the user's own: outside the SLA
  recovered           boolean not null,                    -- the client saw nothing of it
  status              smallint not null,
  platform            text not null,
  model               text not null,
  dialect             text not null,
  method              text not null,
  path                text not null,
  stream              boolean not null,
  message             text not null,
  upstream_status     smallint,
  upstream_type       text,
  upstream_code       text,
  upstream_excerpt    text,                                -- what the upstream answered, redacted, at most 2 KB
  upstream_request_id text,
  retryable           boolean not null,
  user_actionable     boolean not null,
  retries             smallint not null,
  completion          text not null,                       -- none partial complete
  cause               text not null,                       -- in Envoy's words: DC UF UT URX RL NR UC …
  duration_ms         integer not null,
  first_token_ms      integer,
  attempts            jsonb not null,                      -- at most 32
  primary key (at, request_id)
) partition by range (at);
create index on error_log (platform, at);
create index on error_log (account_id, at);
