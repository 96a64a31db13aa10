-- Synthetic usage for test/bench/usage.ts: 200 users with 400 keys in 12 groups, 30 accounts, 15 models, all used unevenly.
insert into users (name, concurrency) select 'user-' || n, 5 from generate_series(1, 200) n;
insert into balances (user_id, balance) select id, 1000000000000000 from users;
insert into groups (name, platform)
  select 'group-' || n, (array['anthropic', 'openai', 'gemini', 'antigravity'])[(n - 1) % 4 + 1] from generate_series(1, 12) n;
insert into accounts (name, platform, type, credential, concurrency, priority)
  select 'account-' || n, (array['anthropic', 'openai', 'gemini', 'antigravity'])[(n - 1) % 4 + 1], 'apikey', '', 5, 50 from generate_series(1, 30) n;
insert into api_keys (user_id, group_id, name, prefix, digest)
  select (n - 1) % 200 + 1, n % 12 + 1, 'key-' || n, 'sk-' || n, decode(md5(n::text), 'hex') from generate_series(1, 400) n;

-- In the form of asRow (core/usage.ts): rows `first` to `last` of `total`, spread over [since, until) with days busier than nights. A group has the two or three
-- accounts of its platform, a platform two to five models, and the first keys and models have most of the traffic.
create function bench_fill(since timestamptz, until timestamptz, days double precision, first bigint, last bigint, total bigint)
returns void language sql as $$
  insert into usage (at, cost, charged, request_id, user_id, key_id, group_id, account_id, input_tokens, output_tokens,
      cache_write_5m_tokens, cache_read_tokens, duration_ms, first_token_ms, platform, billing, status, stream, partial, model,
      upstream_request_id, price)
    select at, cost, cost * 3 / 2,
      (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(noise, 1, 3) || '8' || substr(noise, 4, 15))::uuid,
      (key - 1) % 200 + 1, key, grp, case when r4 < 0.98 then grp + 12 * floor(r2 * (case when grp <= 6 then 3 else 2 end))::integer end,
      (r2 * 8000)::integer, (r1 * 2000)::integer, (r3 * r3 * 3000)::integer, (r2 * 60000)::integer, (500 + r1 * 20000)::integer,
      case when r4 < 0.95 then (200 + r3 * 2000)::integer end,
      (array['anthropic', 'openai', 'gemini', 'antigravity'])[vendor]::platform, 'balance',
      case when r4 < 0.96 then 200 when r4 < 0.98 then 529 else 503 end, r1 < 0.9, r4 between 0.9 and 0.901, model,
      case vendor when 1 then 'req_011' || substr(noise, 1, 21) when 2 then 'req_' || noise end,
      'shipped:' || case when model ~ '-\d{8}$' then left(model, -9) else '' end
    from (
      select *, models[floor(r3 * r3 * array_length(models, 1))::integer + 1] as model, (r1 * r2 * 90000000)::bigint as cost
      from (
        select *, key % 12 + 1 as grp, (key % 12) % 4 + 1 as vendor,
          date_trunc('milliseconds', since + (until - since) * (n::double precision / total + 0.5 / (2 * pi() * days) * sin(2 * pi() * days * n / total))) as at,
          case (key % 12) % 4
            when 0 then array['claude-sonnet-4-5-20250929', 'claude-opus-4-5-20251101', 'claude-haiku-4-5-20251001', 'claude-opus-4-1-20250805', 'claude-sonnet-4-20250514']
            when 1 then array['gpt-5.1-codex', 'gpt-5.1', 'gpt-5-mini', 'o4-mini', 'gpt-4.1']
            when 2 then array['gemini-2.5-pro', 'gemini-2.5-flash', 'gemini-3-pro-preview']
            else array['claude-sonnet-4-5', 'gemini-3-pro-high'] end as models
        from (
          select n, floor(400 * random() ^ 3)::integer + 1 as key, random() as r1, random() as r2, random() as r3, random() as r4, md5(n::text || random()) as noise
          from generate_series(first, last) n) dice) placed) priced
$$;
