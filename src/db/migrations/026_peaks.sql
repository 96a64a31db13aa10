-- The most that any minute of an hour or a day had, over all processes: whoever asks for the peak of a month would else read all of
-- its minutes. Null where it was summed before there was this; hours whose minutes are there are summed again, and with them days.
alter table watch_hour add peak_requests integer, add peak_tokens bigint;
alter table watch_day add peak_requests integer, add peak_tokens bigint;
insert into watch_late (name, at) select distinct 'watch_hour', h.at from watch_hour h
  where dimension = 'total' and at >= coalesce((select since from usage_kept where name = 'watch_minute'), '-infinity')
    and exists (select from watch_minute m where m.dimension = 'total' and m.at >= h.at and m.at < h.at + interval '1 hour')
  on conflict do nothing;
-- Counts without distributions, which are ten times as long: of months all keys are looked at to show the first fifty.
create index on watch_day (dimension, at, value) include (requests, success, errors, client_errors, errors_4xx, errors_5xx, errors_timeout,
  network_errors, attempts, attempt_errors, input_tokens, output_tokens, cost);
