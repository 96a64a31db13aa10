create table alert_channels (
  id           serial primary key,
  name         text not null,
  type         text not null,                              -- webhook email slack telegram feishu dingtalk wecom
  url          bytea,                                      -- encrypted: such URLs are secrets
  recipients   text[] not null default '{}',               -- of email; of telegram the chat
  secret       bytea,                                      -- encrypted; what signs
  min_severity text not null default 'P3',
  enabled      boolean not null default true,
  created_at   timestamptz not null default now(),
  updated_at   timestamptz not null default now()
);
create unique index on alert_channels (name);

create table alert_rules (
  id                serial primary key,
  name              text not null,
  description       text not null default '',
  source            text not null default 'operator',      -- operator; shipped: config/alerts.yaml; file: alerts.file
  enabled           boolean not null default true,
  metric            text not null,
  op                text not null,
  threshold         double precision not null,
  window_minutes    integer not null default 1,
  sustained         integer not null default 1,            -- evaluations in a row
  cooldown_ms       bigint not null default 600000,
  severity          text not null default 'P1',
  filters           jsonb not null default '{}',           -- platform group model account, by name; '*': each by itself
  notify            text[] not null default '{}',          -- channels by name; empty: all
  fallback          text,                                  -- channel asked when none of the others took it
  overridden        text[] not null default '{}',          -- columns that an operator set over the file's
  last_triggered_at timestamptz,
  created_at        timestamptz not null default now(),
  updated_at        timestamptz not null default now()
);
create unique index on alert_rules (name);

-- What evaluation remembers of a rule and one of its dimensions, so that it goes on where another process left it. The row of
-- dimension '' is the rule's clock as well: of a rule with '*', it is nothing else.
create table alert_states (
  rule_id    integer not null references alert_rules on delete cascade,
  dimension  text not null default '',                     -- 'platform=openai,account=a7'; '' for all
  boundary   timestamptz not null,                         -- the last one evaluated
  breaches   integer not null default 0,                   -- in a row, up to it
  value      double precision,                             -- null: nothing was there to be measured
  idle_since timestamptz,                                  -- the first boundary in a row without a value
  fired_at   timestamptz,                                  -- when it last fired, for the cooldown
  missed     integer not null default 0,                   -- evaluations that nobody was there for
  missed_at  timestamptz,                                  -- the boundary that came after the last of them
  primary key (rule_id, dimension)
);

create table alert_events (
  id             serial primary key,
  rule_id        integer references alert_rules on delete set null,
  rule           text not null,                            -- its name then
  dimension      text not null default '',
  severity       text not null,
  status         text not null default 'firing',           -- firing resolved manual_resolved
  title          text not null,
  description    text not null,
  metric         text not null,
  op             text not null,
  value          double precision not null,
  last_value     double precision,
  threshold      double precision not null,
  window_minutes integer not null,
  silenced       boolean not null default false,
  fired_at       timestamptz not null default now(),
  resolved_at    timestamptz,
  acked_at       timestamptz,
  acked_by       text,
  note           text
);
create unique index alert_events_firing on alert_events (rule_id, dimension) where status = 'firing';
create index on alert_events (fired_at);

create table alert_silences (
  id         serial primary key,
  rule_id    integer references alert_rules on delete cascade, -- null: any
  severity   text,                                         -- null: any
  until      timestamptz not null,
  created_by text,
  note       text,
  created_at timestamptz not null default now()
);

-- The outbox: written with the event, in one transaction; sent by whoever leases it.
create table alert_deliveries (
  id          bigserial primary key,
  event_id    integer references alert_events on delete cascade, -- null: a digest or a test
  channel_id  integer not null references alert_channels on delete cascade,
  kind        text not null,                               -- firing resolved digest test
  key         uuid not null default gen_random_uuid(),     -- the same at every attempt, so that a receiver can tell
  fallback    text,                                        -- the channel that is asked when this one fails
  state       text not null default 'pending',             -- pending sent failed held digested
  attempts    integer not null default 0,
  due_at      timestamptz not null default now(),
  lease       text,
  lease_until timestamptz,
  error       text,
  message     jsonb not null,                              -- what is told (core/notify/message.ts)
  created_at  timestamptz not null default now(),
  sent_at     timestamptz
);
create index on alert_deliveries (channel_id, due_at) where state = 'pending';
create index on alert_deliveries (channel_id) where state = 'held';
-- What happened is told once in each channel, whether it was asked first or as a fallback.
create unique index alert_deliveries_once on alert_deliveries (event_id, kind, channel_id);
create index on alert_deliveries (channel_id, sent_at);
