-- What keeps the service steady while Postgres is upgraded, replaced or full.

-- The oldest binaries that can use this schema, by the newest migration that they know. A release that only adds (expands)
-- leaves the number; one that drops or narrows (contracts) raises it to the first migration whose binaries can do without
-- what is gone. Processes of a former release stay ready until then.
create table schema_compatibility (
    only_row boolean primary key default true check (only_row),
    oldest_known_migration bigint not null
);
insert into schema_compatibility (oldest_known_migration) values (0);

-- When a retention duty last had nothing left to delete; null for duties that delete nothing.
alter table maintenance_duties add column caught_up_at timestamptz;

-- For retention, as on finished_jobs: rows arrive in the order of created_at.
create index llm_calls_age on llm_calls using brin (created_at) with (pages_per_range = 32, autosummarize);
