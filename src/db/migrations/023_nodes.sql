-- The daemons that are up, each beside others on this Postgres: what they know of one another where no Redis tells them. A row is
-- written anew every few seconds and goes with its process; of one that died it stands still, and what stands still does not count.
create table nodes (
  process    text primary key,                           -- one life of one process
  place      text not null,                              -- names its data_dir: who starts there takes the place of who died there
  host       text not null,
  pid        integer not null,
  version    text not null,
  shares     text not null check (shares in ('nothing', 'redis', 'silent')),   -- what limits are shared through; silent: a Redis that does not answer
  sees       integer,                                    -- how many processes it counts in its Redis; null: none yet, or no Redis that answers
  started_at timestamptz not null default clock_timestamp(),
  beat_at    timestamptz not null default clock_timestamp()
);

-- Who comes and who leaves is heard at once; a heartbeat is not: it is no insert of a row, though one of a statement.
create function gw_nodes() returns trigger language plpgsql as $$
begin
  perform pg_notify('gw_nodes', tg_op);
  return null;
end $$;
create trigger nodes_changed after insert or delete on nodes for each row execute function gw_nodes();
