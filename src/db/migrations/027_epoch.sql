-- Which life of this database it is. A backup that is put back, or an older copy that takes over, goes on from a state that was
-- left behind: what was counted up is lower than what is known of it. Who recognises that takes the next number, and then all
-- that is known of lower numbers is believed no more. Whoever writes versions reads it in the same transaction; it is changed
-- under a lock that waits for them.
create table database_epoch (
  one      boolean primary key default true check (one),
  number   integer not null default 0 check (number between 0 and 30000),
  began_at timestamptz not null default clock_timestamp()
);
insert into database_epoch default values;
