-- What a key had used already when it took the place of another: rotating a key must not refill its quota.
-- A key's `used` is what it carried over plus what the ledger says it was charged.
alter table key_usage add column carried bigint not null default 0;
