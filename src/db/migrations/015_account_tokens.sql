-- What is known of the access tokens of OAuth accounts, apart from the accounts: none of it is in a snapshot, and much of it changes often.
create table account_tokens (
  account_id    integer primary key references accounts,
  expires_at    timestamptz,                       -- of the access token; null: nobody said. Without a token: the epoch
  refreshable   boolean not null default false,    -- there is all that a refresh needs
  refreshed_at  timestamptz,
  failures      integer not null default 0,        -- in a row
  reason        text,                              -- of the last of them
  retry_at      timestamptz,                       -- nobody tries before
  lease_holder  text,                              -- who refreshes it now: one at a time, whatever node
  lease_until   timestamptz
);

-- `expired`: the token is over or about to be, and could not be refreshed.
alter table accounts drop constraint accounts_status_check;
alter table accounts add constraint accounts_status_check check (status in ('active', 'paused', 'error', 'expired'));
