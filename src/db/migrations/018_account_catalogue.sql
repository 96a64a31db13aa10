-- The models that an account's provider says it serves, as last read: in force where the account has no mapping of its own.
alter table accounts add column catalogue jsonb;              -- in the words of model_map; null: never read
alter table accounts add column catalogue_at timestamptz;     -- when it was read
alter table accounts add column catalogue_due timestamptz;    -- nobody asks before; null: at once. Who asks moves it on, and is the only one
alter table accounts add column catalogue_problem text;       -- why the last reading gave nothing; null: it did, or there was none
