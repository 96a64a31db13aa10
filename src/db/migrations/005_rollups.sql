-- Usage that stays fast and small: sums by minute, hour and day beside the rows, one index instead of five, narrow columns,
-- and partitions that come and go without holding up traffic.

-- Makes the partition of `parent` that holds the instant; `width` is month or day. Cheap when it is there. A table is made
-- alone and then attached: to make it in its place would lock out everybody from the parent until the transaction ends.
create function time_partition(parent text, instant timestamptz, width text) returns void language plpgsql as $$
declare
  first timestamp := date_trunc(width, instant at time zone 'UTC');
  name text := parent || '_' || to_char(first, case width when 'day' then 'YYYYMMDD' else 'YYYYMM' end);
begin
  if to_regclass(name) is not null then return; end if;
  -- Two processes that meet a new month at the same moment: the second finds it made.
  perform pg_advisory_xact_lock(26487, hashtext(name));
  -- Asked of the table: to_regclass remembers its answer, and waiting for such a lock does not make it look again.
  if exists (select from pg_inherits join pg_class c on c.oid = inhrelid where inhparent = parent::regclass and c.relname = name) then return; end if;
  execute format('create table %I (like %I including all)', name, parent);
  execute format('alter table %I attach partition %I for values from (%L) to (%L)',
    parent, name, first at time zone 'UTC', (first + ('1 ' || width)::interval) at time zone 'UTC');
end $$;
create or replace function month_partition(parent text, instant timestamptz) returns void language sql as $$
  select time_partition(parent, instant, 'month')
$$;

-- The rows again, with the widest columns first so that nothing is lost between them, and enums for what has few words.
-- The key begins with the time: it is the order in which rows are listed and exported, and an id of gw's says its time
-- (UUID version 7), so that this one index is all that is needed. Who looks for a user's few rows finds their hours in
-- usage_hour. `upstream_model` is null where it is `model`, and `price` ends with its colon where that follows (core/line.ts).
create temporary table usage_before on commit drop as select * from usage;
drop table usage;
create type platform as enum ('anthropic', 'openai', 'gemini', 'antigravity');
create type billing as enum ('balance', 'subscription');
create table usage (
  at                    timestamptz not null,            -- when the request began
  cost                  bigint not null default 0,       -- at list price
  charged               bigint not null default 0,       -- cost times the group's multiplier
  request_id            uuid not null,
  user_id               integer not null,
  key_id                integer not null,
  group_id              integer,
  account_id            integer,
  subscription_id       integer,
  input_tokens          integer not null default 0,
  output_tokens         integer not null default 0,
  cache_write_5m_tokens integer not null default 0,
  cache_write_1h_tokens integer not null default 0,
  cache_read_tokens     integer not null default 0,
  web_searches          integer not null default 0,
  duration_ms           integer not null,
  first_token_ms        integer,
  platform              platform not null,
  billing               billing not null,
  status                smallint not null,
  attempts              smallint not null default 1,
  stream                boolean not null,
  partial               boolean not null default false,  -- the stream broke before its final usage
  model                 text not null,
  upstream_model        text,
  upstream_request_id   text,
  price                 text,                            -- which price answered: layer and model name
  mode                  text,                            -- the upstream's service mode where it has rates of its own
  primary key (at, request_id)
) partition by range (at);

-- Sums of the usage rows of a minute, an hour, a day (UTC); 0 stands for no group and no account. Written with the rows.
create table usage_minute (
  at                 timestamptz not null,               -- its beginning
  input_tokens       bigint not null,
  output_tokens      bigint not null,
  cache_write_tokens bigint not null,
  cache_read_tokens  bigint not null,
  cost               bigint not null,
  charged            bigint not null,
  duration_ms        bigint not null,
  first_token_ms     bigint not null,
  first_tokens       integer not null,                   -- how many had a first token
  requests           integer not null,
  errors             integer not null,                   -- status >= 400
  partials           integer not null,
  web_searches       integer not null,
  account_id         integer not null,
  group_id           integer not null,
  model              text not null                       -- its first 128 characters: a client's text must fit into an index
) partition by range (at);
-- The same without regard to users and keys, of whom there are many: what pools of accounts did. Thirteen times fewer rows.
create table usage_pool_hour (like usage_minute, primary key (at, account_id, model, group_id)) partition by range (at);
create table usage_pool_day  (like usage_minute, primary key (at, account_id, model, group_id)) partition by range (at);

alter table usage_minute add column key_id integer not null, add column user_id integer not null;
create table usage_hour (like usage_minute) partition by range (at);
create table usage_day  (like usage_minute) partition by range (at);
-- The key comes second: a key's hours, or a user's by its keys, are found one by one.
alter table usage_minute add primary key (at, key_id, account_id, model, group_id, user_id);
alter table usage_hour   add primary key (at, key_id, account_id, model, group_id, user_id);
alter table usage_day    add primary key (at, key_id, account_id, model, group_id, user_id);

-- From when on each of them is complete, where retention has dropped what was before.
create table usage_kept (
  name   text primary key check (name in ('usage', 'usage_minute', 'usage_hour', 'usage_day')),
  since  timestamptz not null
);

select month_partition('usage', at) from (select distinct date_trunc('month', at, 'UTC') as at from usage_before) months;
insert into usage (at, cost, charged, request_id, user_id, key_id, group_id, account_id, subscription_id, input_tokens, output_tokens,
    cache_write_5m_tokens, cache_write_1h_tokens, cache_read_tokens, web_searches, duration_ms, first_token_ms, platform, billing, status,
    attempts, stream, partial, model, upstream_model, upstream_request_id, price, mode)
  select at, cost, charged, request_id, user_id, key_id, group_id, account_id, subscription_id, input_tokens, output_tokens,
    cache_write_5m_tokens, cache_write_1h_tokens, cache_read_tokens, web_searches, duration_ms, first_token_ms, platform::platform,
    billing::billing, status, attempts, stream, partial, model, nullif(upstream_model, model), upstream_request_id,
    case when right(price, length(model) + 1) = ':' || model then left(price, -length(model)) else price end, mode
  from usage_before;

-- Roll-ups of the rows in [since, until), from nothing: for rows that were there before there were roll-ups. Whole days only.
create function roll_up_usage(since timestamptz, until timestamptz) returns void language plpgsql as $$
declare
  sums text := 'sum(first_tokens), sum(requests), sum(errors), sum(partials), sum(web_searches), sum(input_tokens), sum(output_tokens),
    sum(cache_write_tokens), sum(cache_read_tokens), sum(cost), sum(charged), sum(duration_ms), sum(first_token_ms)';
  into_columns text := 'first_tokens, requests, errors, partials, web_searches, input_tokens, output_tokens, cache_write_tokens,
    cache_read_tokens, cost, charged, duration_ms, first_token_ms';
  rollup record;
begin
  for rollup in select * from (values
    ('usage_minute',    'usage',        'minute', 'day',   ', key_id, user_id'),
    ('usage_hour',      'usage_minute', 'hour',   'month', ', key_id, user_id'),
    ('usage_day',       'usage_hour',   'day',    'month', ', key_id, user_id'),
    ('usage_pool_hour', 'usage_hour',   'hour',   'month', ''),
    ('usage_pool_day',  'usage_day',    'day',    'month', '')) r(name, source, width, span, whose) loop
    perform time_partition(rollup.name, first, rollup.span)
      from (select distinct date_trunc('day', at, 'UTC') as first from usage where at >= since and at < until) days;
    execute format('insert into %1$I (at, account_id, group_id, model%2$s, %3$s)
        select date_trunc(%4$L, at, %5$L), account_id, group_id, model%2$s, %6$s
        from %7$s r where at >= $1 and at < $2 group by 1, 2, 3, 4%2$s order by 1',
      rollup.name, rollup.whose, into_columns, rollup.width, 'UTC', sums,
      case rollup.source when 'usage' then '(select at, key_id, user_id, coalesce(account_id, 0) as account_id, coalesce(group_id, 0) as group_id,
          left(model, 128) as model, (first_token_ms is not null)::integer as first_tokens, 1 as requests, (status >= 400)::integer as errors,
          partial::integer as partials, web_searches, input_tokens, output_tokens, cache_write_5m_tokens::bigint + cache_write_1h_tokens as cache_write_tokens,
          cache_read_tokens, cost, charged, duration_ms, coalesce(first_token_ms, 0) as first_token_ms from usage)'
        else rollup.source end) using since, until;
  end loop;
end $$;
select roll_up_usage('-infinity', 'infinity');
