-- Who was let into an exclusive group, by number. With the group's row, so that one notification tells of both. Whoever has a
-- working key of it was let in, as far as anybody could be.
alter table groups add column allowed integer[] not null default '{}';
update groups g set allowed = (select coalesce(array_agg(distinct k.user_id), '{}') from api_keys k
  where k.group_id = g.id and k.status = 'active') where exclusive;
