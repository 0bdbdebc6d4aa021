-- Budgets of API keys: what the jobs that a key submits may use of models, directly or through other jobs.

-- The key that submitted the job; null for people and watched mailboxes.
alter table llm_calls add column api_key_id uuid;

-- Null: the budget covers all jobs of the tenant. A job of a key is covered by the key's budgets and by the tenant's.
alter table llm_budgets add column api_key_id uuid;
alter table llm_budgets add constraint llm_budgets_api_key_id_fkey
    foreign key (tenant_id, api_key_id) references api_keys (tenant_id, id) on delete cascade not valid;
alter table llm_budgets validate constraint llm_budgets_api_key_id_fkey;
alter table llm_budgets drop constraint llm_budgets_pkey;
create unique index llm_budgets_key on llm_budgets (tenant_id, api_key_id, kind, period) nulls not distinct;

-- Binaries that do not know the column would count the budget of a key against every job of its tenant.
update schema_compatibility set oldest_known_migration = 16;
