-- When a provider took a batch: its answers come within a day of that, however long the batch waited to be made.

-- Null while it is not known that the batch was made. A batch that was made before this migration counts from now on.
alter table llm_batches add column made_at timestamptz;
update llm_batches set made_at = now() where provider_id is not null;
