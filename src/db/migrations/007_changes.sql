-- What was changed, row by row, so that a process reads what is new to it and not everything. `xid` says for each pair of snapshots
-- what was committed between them, exactly and in whatever order it began: pg_visible_in_snapshot() of the older one is false.
-- The processes that read the rows delete them when they are an hour old.
create table changes (
  xid    xid8 not null default pg_current_xact_id(),
  name   text not null,        -- the table
  ids    integer[]             -- its rows, of account_groups the accounts; null: any of them
);
create index changes_xid on changes (xid);

-- Once a statement. `tg_argv[0]` is the column of `ids`, `tg_argv[1]` the columns by which a process finds a row again; `before` and
-- `after` are the rows. What leaves no trace for a lookup (a row deleted for good, a key with another digest) and what is much is "any".
create or replace function gw_changed() returns trigger language plpgsql as $$
declare
  largest constant integer := 500;
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
  perform pg_notify('gw_changed', tg_table_name);
  return null;
end $$;

-- Proxies and settings are in no snapshot: nobody need hear of them.
drop trigger changed on proxies;
drop trigger changed on settings;
do $$
declare
  noun record;
begin
  for noun in select * from (values ('users', $args$'id', 'id'$args$), ('groups', $args$'id', 'id'$args$), ('accounts', $args$'id', 'id'$args$),
      ('account_groups', $args$'account_id', 'account_id'$args$), ('api_keys', $args$'id', 'id, digest'$args$),
      ('subscriptions', $args$'id', 'id, user_id'$args$), ('prices', '')) n(name, args) loop
    execute format('drop trigger changed on %I', noun.name);
    -- A trigger that sees the rows is of one event only.
    execute format('create trigger changed_i after insert on %I referencing new table as after for each statement execute function gw_changed(%s)', noun.name, noun.args);
    execute format('create trigger changed_u after update on %I referencing old table as before new table as after for each statement execute function gw_changed(%s)', noun.name, noun.args);
    execute format('create trigger changed_d after delete on %I referencing old table as before for each statement execute function gw_changed(%s)', noun.name, noun.args);
    execute format('create trigger changed_t after truncate on %I for each statement execute function gw_changed()', noun.name);
  end loop;
end $$;
