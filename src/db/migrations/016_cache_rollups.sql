-- Roll-ups from nothing (005) with the writes of each lifetime (014).
create or replace function roll_up_usage(since timestamptz, until timestamptz) returns void language plpgsql as $$
declare
  sums text := 'sum(first_tokens), sum(requests), sum(errors), sum(partials), sum(web_searches), sum(input_tokens), sum(output_tokens),
    sum(cache_write_tokens), sum(cache_read_tokens), sum(cost), sum(charged), sum(duration_ms), sum(first_token_ms)';
  into_columns text := 'first_tokens, requests, errors, partials, web_searches, input_tokens, output_tokens, cache_write_tokens,
    cache_read_tokens, cost, charged, duration_ms, first_token_ms';
  rollup record;
begin
  for rollup in select * from (values
    ('usage_minute',    'usage',        'minute', 'day',   ', key_id, user_id'),
    ('usage_hour',      'usage_minute', 'hour',   'month', ', key_id, user_id'),
    ('usage_day',       'usage_hour',   'day',    'month', ', key_id, user_id'),
    ('usage_pool_hour', 'usage_hour',   'hour',   'month', ''),
    ('usage_pool_day',  'usage_day',    'day',    'month', '')) r(name, source, width, span, whose) loop
    perform time_partition(rollup.name, first, rollup.span)
      from (select distinct date_trunc('day', at, 'UTC') as first from usage where at >= since and at < until) days;
    execute format('insert into %1$I (at, account_id, group_id, model%2$s, %3$s)
        select date_trunc(%4$L, at, %5$L), account_id, group_id, model%2$s, %6$s
        from %7$s r where at >= $1 and at < $2 group by 1, 2, 3, 4%2$s order by 1',
      rollup.name, rollup.whose, into_columns, rollup.width, 'UTC', sums,
      case rollup.source when 'usage' then '(select at, key_id, user_id, coalesce(account_id, 0) as account_id, coalesce(group_id, 0) as group_id,
          left(model, 128) as model, (first_token_ms is not null)::integer as first_tokens, 1 as requests, (status >= 400)::integer as errors,
          partial::integer as partials, web_searches, input_tokens, output_tokens, 
          cache_write_5m_tokens::bigint + cache_write_30m_tokens + cache_write_1h_tokens + cache_write_12h_tokens as cache_write_tokens,
          cache_read_tokens, cost, charged, duration_ms, coalesce(first_token_ms, 0) as first_token_ms from usage)'
        else rollup.source end) using since, until;
  end loop;
end $$;
