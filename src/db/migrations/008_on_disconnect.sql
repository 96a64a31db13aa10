-- What becomes of a request whose client has left: `stop` reads on until the input's cost is known, `abort` not at all, `drain` for
-- `drain_ms`. Half a minute was what a group had when nobody had said anything: that is `stop` now.
alter table groups add column on_disconnect text not null default 'stop' check (on_disconnect in ('stop', 'abort', 'drain'));
alter table groups alter column drain_ms drop not null, alter column drain_ms drop default;
update groups set on_disconnect = case drain_ms when 0 then 'abort' when 30000 then 'stop' else 'drain' end;
update groups set drain_ms = null where on_disconnect <> 'drain';
alter table groups add check ((on_disconnect = 'drain') = (drain_ms is not null));
