-- Writes into a cache by each lifetime that a vendor has: Anthropic 5 minutes and an hour, OpenAI 30 minutes and 12 hours. What stands in
-- cache_write_5m_tokens of an OpenAI model stays there: it was billed at that model's one rate. A constant default rewrites no partition.
alter table usage add column cache_write_30m_tokens integer not null default 0;
alter table usage add column cache_write_12h_tokens integer not null default 0;
alter table prices add column cache_write_30m bigint check (cache_write_30m >= 0);
alter table prices add column cache_write_12h bigint check (cache_write_12h >= 0);
