-- What upstreams said about their accounts: who is out, until when, and why. Absolute times, so that a restart neither
-- forgets nor prolongs them. Apart from accounts, because it changes with traffic and must not wake every snapshot.
create table account_health (
  account_id  integer not null references accounts on delete cascade,
  model       text not null default '',                -- '' is the whole account, else only this model is out
  class       text not null,                           -- burst, window, quota, overload, auth, payment, server, network
  reason      text not null,
  until       timestamptz not null,
  evidence    boolean not null,                        -- the upstream itself said until when; else we back off and let one request try
  strikes     integer not null,                        -- refusals in a row
  since       timestamptz not null default now(),
  updated_at  timestamptz not null default now(),
  primary key (account_id, model)
);

create function gw_health_changed() returns trigger language plpgsql as $$
begin
  perform pg_notify('gw_health', '');
  return null;
end $$;
create trigger changed after insert or update or delete or truncate on account_health for each statement execute function gw_health_changed();
