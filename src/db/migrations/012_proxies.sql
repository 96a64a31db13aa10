-- Egress proxies: accounts are reached through them. A change of a proxy is a change of its accounts: those are read again, as are
-- all when there are too many of them to name.
alter table proxies add column updated_at timestamptz not null default now();
create index accounts_proxy on accounts (proxy_id) where proxy_id is not null;

create function gw_proxy_changed() returns trigger language plpgsql as $$
declare
  largest constant integer := 500;
  found integer[];
begin
  select array_agg(id) into found from (
    select a.id from accounts a join after p on p.id = a.proxy_id where a.deleted_at is null limit largest + 1) rows;
  if found is null then return null; end if;  -- nobody goes through it
  if cardinality(found) > largest then found := null; end if;
  insert into changes (name, ids) values ('accounts', found);
  perform pg_notify('gw_changed', 'accounts');
  return null;
end $$;
create trigger changed_u after update on proxies referencing new table as after for each statement execute function gw_proxy_changed();
