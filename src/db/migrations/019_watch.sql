-- What gw sees of itself. One row a process and interval or minute, so that nobody waits for anybody; distributions are bytes
-- (core/watch/sketch.ts) which whoever reads merges. `at` is the end of an interval in watch_metrics and watch_cells, where
-- intervals begin at multiples of their length, and the beginning of the minute, hour or day in the others.
create table watch_metrics (
  at                   timestamptz not null,
  process              text not null,                      -- one life of one process
  node                 text not null,                      -- its host
  interval_ms          integer not null,
  requests             integer not null,
  success              integer not null,
  errors               integer not null,                   -- of a provider or of gw: what counts against the SLA
  client_errors        integer not null,                   -- of the client, and what its own limits refused
  errors_4xx           integer not null,
  errors_5xx           integer not null,
  errors_timeout       integer not null,
  network_errors       integer not null,                   -- attempts that no answer came of
  attempts             integer not null,
  attempt_errors       integer not null,                   -- attempts that a provider failed
  input_tokens         bigint not null,                    -- of the prompt, cached or not
  output_tokens        bigint not null,
  cost                 bigint not null,                    -- nano-USD
  duration             bytea not null,
  first_token          bytea not null,
  upstream             bytea not null,                     -- time spent at upstreams
  queued               bytea not null,                     -- time spent waiting for places
  queue_depth          integer,
  in_flight            integer,
  streams              integer,
  loop_lag_p99_ms      real,
  handles              integer,
  cpu_percent          real,                               -- of what the cgroup allows, else of the host
  memory_used_mb       integer,
  memory_total_mb      integer,
  memory_percent       real,
  rss_mb               integer,
  heap_mb              integer,
  gc_pause_ms          real,                               -- sum within the interval
  db_active            integer,
  db_idle              integer,
  db_waiting           integer,
  db_ms                real,                               -- a round trip; null: none came back
  redis_ms             real,                               -- likewise; null without Redis, too
  disk_used_mb         bigint,
  disk_total_mb        bigint,
  spool_lines          integer,
  active_alerts        integer,
  active_subscriptions integer,
  primary key (at, process)
) partition by range (at);

-- The finest: alerts filter by any of its columns. 0 and '' stand for none.
create table watch_cells (
  at             timestamptz not null,
  process        text not null,
  platform       text not null,
  group_id       integer not null,
  account_id     integer not null,
  model          text not null,
  requests       integer not null,
  success        integer not null,
  errors         integer not null,
  client_errors  integer not null,
  errors_4xx     integer not null,
  errors_5xx     integer not null,
  errors_timeout integer not null,
  network_errors integer not null,
  attempts       integer not null,
  attempt_errors integer not null,
  input_tokens   bigint not null,
  output_tokens  bigint not null,
  cost           bigint not null,
  duration       bytea not null,
  first_token    bytea not null,
  primary key (at, process, platform, group_id, account_id, model)
) partition by range (at);

-- dimension: total account model user key platform group path. value: the number of account, user, key, group; the word of the
-- others; '' of total. process is '' where rows of all are summed.
create table watch_minute (
  at             timestamptz not null,
  dimension      text not null,
  value          text not null,
  process        text not null default '',
  requests       integer not null,
  success        integer not null,
  errors         integer not null,
  client_errors  integer not null,
  errors_4xx     integer not null,
  errors_5xx     integer not null,
  errors_timeout integer not null,
  network_errors integer not null,
  attempts       integer not null,
  attempt_errors integer not null,
  input_tokens   bigint not null,
  output_tokens  bigint not null,
  cost           bigint not null,
  duration       bytea not null,
  first_token    bytea not null,
  primary key (dimension, at, value, process)
) partition by range (at);
create table watch_hour (like watch_minute including all) partition by range (at);
create table watch_day (like watch_minute including all) partition by range (at);

-- Up to where (exclusively) minutes were summed into hours, and hours into days.
create table watch_rolled (
  name  text primary key,                                  -- watch_hour, watch_day
  until timestamptz not null
);
insert into watch_rolled values ('watch_hour', 'epoch'), ('watch_day', 'epoch');
-- Hours, and days, that were summed before all of their rows were there: a process wrote late. They are summed again.
create table watch_late (
  name text not null,
  at   timestamptz not null,
  primary key (name, at)
);

-- The heartbeats of periodic jobs, each written once a minute and when its outcome changes. A job that one process of all does has
-- '' for process. A process that ends takes its own with it; of one that was killed they go within the hour.
create table jobs (
  name             text not null,
  process          text not null default '',
  node             text not null,
  every_ms         bigint not null,
  last_run_at      timestamptz not null,
  last_success_at  timestamptz,
  last_error_at    timestamptz,
  last_error       text,
  last_duration_ms integer,
  primary key (name, process)
);

-- What an operator set, over the settings (null: as configured), and how the last run ended.
create table retention (
  name        text primary key,                            -- as gw ops retention lists them
  keep_ms     bigint,                                      -- 0: for ever
  last_run_at timestamptz,                                 -- by Postgres's clock
  hold_until  timestamptz,                                 -- the clock leapt: nothing is dropped before
  last_dropped text[] not null default '{}',               -- partitions dropped by the last run that dropped any
  last_dropped_at timestamptz,
  last_error  text
);
-- From when on each is whole, where retention has dropped what was before: now of more than usage.
alter table usage_kept drop constraint usage_kept_name_check;
