-- An account of antigravity that may serve in groups of anthropic and gemini too.
alter table accounts add column mixed boolean not null default false;
