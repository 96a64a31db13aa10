-- Money that moves: what a group does about models without a price and clients that leave, subscriptions and their windows,
-- what keys have used, and the ledger in which every movement stands once. All amounts are bigint nano-USD.

alter table groups
  add column unknown_model  text not null default 'reject' check (unknown_model in ('reject', 'fallback', 'free')),
  add column fallback_model text,                          -- whose price an unknown model gets
  add column drain_ms       integer not null default 30000 check (drain_ms >= 0),  -- how long an upstream is read on for its usage when the client has left; 0: aborted at once
  add check ((unknown_model = 'fallback') = (fallback_model is not null));

alter table prices add column extra jsonb not null default '{}';   -- {"modes": {name: rates}, "web_search": nano, "source": text}

alter table usage
  add column web_searches    integer not null default 0,
  add column mode            text,                         -- the upstream's service mode where it has rates of its own
  add column subscription_id integer;

alter table balances add column version bigint not null default 0;

create table key_usage (
  key_id      integer primary key references api_keys,
  used        bigint not null default 0,
  version     bigint not null default 1,
  updated_at  timestamptz not null default now()
);

create table subscriptions (
  id          integer generated always as identity primary key,
  user_id     integer not null references users,
  group_id    integer not null references groups,
  status      text not null default 'active' check (status in ('active', 'revoked')),
  starts_at   timestamptz not null default now(),
  expires_at  timestamptz not null check (expires_at <= '2100-01-01'),
  note        text,
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now(),
  revoked_at  timestamptz
);
create unique index subscriptions_pair on subscriptions (user_id, group_id) where status = 'active';

-- Apart from subscriptions, as balances are from users. A window without a start has not begun.
create table subscription_usage (
  subscription_id  integer primary key references subscriptions,
  day_start        timestamptz,
  day_used         bigint not null default 0,
  week_start       timestamptz,
  week_used        bigint not null default 0,
  month_start      timestamptz,
  month_used       bigint not null default 0,
  version          bigint not null default 1,
  updated_at       timestamptz not null default now()
);

-- One entry a movement. A charge has its request's id and beginning, so that it is idempotent as its usage row is.
-- `seq` grows along each user's chain, since an entry is only made while the user's row in balances is locked.
create sequence ledger_seq;
create table ledger (
  entry_id         uuid not null,
  at               timestamptz not null,
  seq              bigint not null default nextval('ledger_seq'),
  booked_at        timestamptz not null default now(),
  user_id          integer not null,
  kind             text not null check (kind in ('opening', 'topup', 'adjustment', 'charge', 'subscription')),
  amount           bigint not null,                       -- + credit, - debit; of kind subscription: what it took of the subscription, not of the balance
  balance          bigint not null,                       -- the user's balance after it
  key_id           integer,
  subscription_id  integer,
  actor            text,                                  -- who ordered it; null: a request
  note             text,
  primary key (entry_id, at)
) partition by range (at);
create index ledger_user on ledger (user_id, seq);

-- Makes the month's partition of `parent` that holds the instant; cheap when it is there. Two processes that meet a new
-- month at the same moment both try; the second finds it made.
create function month_partition(parent text, instant timestamptz) returns void language plpgsql as $$
declare
  first date := date_trunc('month', instant at time zone 'UTC')::date;
  name text := parent || '_' || to_char(first, 'YYYYMM');
begin
  if to_regclass(name) is null then
    begin
      execute format('create table if not exists %I partition of %I for values from (%L) to (%L)',
        name, parent, first::timestamp at time zone 'UTC', (first + interval '1 month')::timestamp at time zone 'UTC');
    exception when duplicate_table then null;
    end;
  end if;
end $$;
create or replace function usage_partition(instant timestamptz) returns void language sql as $$
  select month_partition('usage', instant)
$$;

-- Balances there were before there was a ledger.
select month_partition('ledger', now());
insert into ledger (entry_id, at, user_id, kind, amount, balance, note)
  select gen_random_uuid(), now(), user_id, 'opening', balance, balance, 'balance before the ledger began' from balances where balance <> 0;

-- Each change is a new version; a change that is no booking of requests (a top-up, an assignment, psql) is told to every process at once.
create function gw_money_changed() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' then new.version := old.version + 1; end if;
  if current_setting('gw.booking', true) is distinct from 'on' then
    perform pg_notify('gw_money', case tg_table_name
      when 'balances' then to_jsonb(new) ->> 'user_id'
      when 'key_usage' then (select user_id::text from api_keys where id = (to_jsonb(new) ->> 'key_id')::integer)
      else (select user_id::text from subscriptions where id = (to_jsonb(new) ->> 'subscription_id')::integer) end);
  end if;
  return new;
end $$;
create trigger money_changed before insert or update on balances           for each row execute function gw_money_changed();
create trigger money_changed before insert or update on key_usage          for each row execute function gw_money_changed();
create trigger money_changed before insert or update on subscription_usage for each row execute function gw_money_changed();
create trigger changed after insert or update or delete or truncate on subscriptions for each statement execute function gw_changed();
