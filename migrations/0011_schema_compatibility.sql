-- Which binaries work with this schema, while Postroom is upgraded process by process.

-- The oldest binaries that can use this schema, by the newest migration that they know. A release that only adds (expands)
-- leaves the number; one that drops or narrows (contracts) raises it to the first migration whose binaries can do without
-- what is gone. Processes of a former release stay ready until then.
create table schema_compatibility (
    only_row boolean primary key default true check (only_row),
    oldest_known_migration bigint not null
);
insert into schema_compatibility (oldest_known_migration) values (0);
