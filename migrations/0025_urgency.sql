-- How requests to models are served: work that can wait costs less.

-- What the provider served, as far as it says so; flex is the cheaper and slower tier of OpenAI.
alter table llm_calls add column tier text not null default 'standard'
    constraint llm_calls_tier_check check (tier in ('standard', 'flex'));

-- Binaries that do not know the urgency would discard a job whose arguments name one.
update schema_compatibility set oldest_known_migration = greatest(oldest_known_migration, 25);
