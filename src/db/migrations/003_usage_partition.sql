-- Two processes that meet a new month at the same moment both try to make its partition; the second finds it made.
create or replace function usage_partition(instant timestamptz) returns void language plpgsql as $$
declare
  first date := date_trunc('month', instant at time zone 'UTC')::date;
  name text := 'usage_' || to_char(first, 'YYYYMM');
begin
  if to_regclass(name) is null then
    begin
      execute format('create table if not exists %I partition of usage for values from (%L) to (%L)',
        name, first::timestamp at time zone 'UTC', (first + interval '1 month')::timestamp at time zone 'UTC');
    exception when duplicate_table then null;
    end;
  end if;
end $$;
