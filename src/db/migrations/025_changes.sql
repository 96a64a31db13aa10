-- Whoever changes a noun tells it once a transaction, whatever tables and however many rows it touched; of some thousand rows
-- it says which they are; and whoever reads `changes` learns whether rows that it has not read were forgotten.

-- Whether `other` knows of transactions that are over and `state` does not. Of two states of one server, exactly the later one does:
-- the last transaction before xmax is over in each, and what is over stays so.
create function gw_behind(state pg_snapshot, other pg_snapshot) returns boolean language sql immutable as $$
  select pg_snapshot_xmax(state) < pg_snapshot_xmax(other)
    or exists (select from pg_snapshot_xip(state) x where pg_visible_in_snapshot(x, other))
$$;

-- Up to which state changes were forgotten: one row at most.
create table changes_forgotten (
  one  boolean primary key default true check (one),
  at   pg_snapshot not null
);

create or replace function gw_changed() returns trigger language plpgsql as $$
declare
  largest constant integer := 5000;
  -- The first of its rows to look at: those that are there now, or were.
  seen constant text := case tg_op when 'DELETE' then 'before' else 'after' end;
  found integer[];
  moved boolean := false;
begin
  if tg_op <> 'TRUNCATE' then
    if tg_nargs = 0 then
      execute format('select case when exists (select from %I) then array[0] end', seen) into found;
    else
      execute format('select array_agg(id) from (select distinct %I as id from %I limit %s) rows', tg_argv[0], seen, largest + 1) into found;
    end if;
    if found is null then return null; end if;  -- a statement that changed nothing
    if tg_op = 'UPDATE' and tg_nargs > 0 and cardinality(found) <= largest then
      execute format('select exists (select %1$s from before except select %1$s from after)', tg_argv[1]) into moved;
    end if;
    if moved or tg_nargs = 0 or cardinality(found) > largest or (tg_op = 'DELETE' and tg_table_name <> 'account_groups') then
      found := null;
    end if;
  end if;
  insert into changes (name, ids) values (tg_table_name, found);
  -- Equal notifications of one transaction are one.
  perform pg_notify('gw_changed', 'changes');
  return null;
end $$;

create or replace function gw_proxy_changed() returns trigger language plpgsql as $$
declare
  largest constant integer := 5000;
  found integer[];
begin
  select array_agg(id) into found from (
    select a.id from accounts a join after p on p.id = a.proxy_id where a.deleted_at is null limit largest + 1) rows;
  if found is null then return null; end if;  -- nobody goes through it
  if cardinality(found) > largest then found := null; end if;
  insert into changes (name, ids) values ('accounts', found);
  perform pg_notify('gw_changed', 'changes');
  return null;
end $$;
