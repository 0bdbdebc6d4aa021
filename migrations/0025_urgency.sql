-- How requests to models are served: work that can wait costs less.

-- What the provider served, as far as it says so: flex is the cheaper and slower tier of OpenAI, and a batch is answered within a day.
alter table llm_calls add column tier text not null default 'standard'
    constraint llm_calls_tier_check check (tier in ('standard', 'flex', 'batch'));

-- The row is committed before the batch is made, under the name that the provider keeps where it can: a batch whose maker died
-- is looked for before it is made again.
create table llm_batches (
    id uuid primary key,
    provider text not null,
    model text not null,
    -- The provider's id; null until it is known that the batch was made.
    provider_id text,
    created_at timestamptz not null default now(),
    -- When it is looked at again. The worker that looks at it moves this first, so that no other does.
    due_at timestamptz not null
);
create index llm_batches_due_at on llm_batches (due_at);

-- One request of a job. The job is parked meanwhile, without a slot. The row stays until the job ends, so that a step of a job is in
-- a batch at most once.
create table llm_batch_items (
    tenant_id uuid not null,
    job_id uuid not null,
    step text not null,
    -- Its row in llm_calls, and its name at the provider.
    call_id uuid not null unique,
    request_hash bytea not null check (octet_length(request_hash) = 32),
    provider text not null,
    model text not null,
    max_output_tokens int not null check (max_output_tokens > 0),
    state text not null default 'waiting'
        constraint llm_batch_items_state_check check (state in ('waiting', 'sent', 'answered', 'failed')),
    batch_id uuid references llm_batches (id),
    -- The request, with the email; null as soon as the provider has it.
    body jsonb,
    created_at timestamptz not null default now(),
    primary key (tenant_id, job_id, step),
    check ((state = 'sent') = (batch_id is not null)),
    check (state <> 'waiting' or body is not null),
    check (body is null or state = 'waiting' or batch_id is not null)
);
create index llm_batch_items_waiting on llm_batch_items (created_at) where state = 'waiting';
create index llm_batch_items_batch on llm_batch_items (batch_id) where batch_id is not null;
create index llm_batch_items_ended on llm_batch_items (created_at) where state in ('answered', 'failed');

-- Binaries that do not know the urgency would discard a job whose arguments name one, and count requests in batches as lost.
update schema_compatibility set oldest_known_migration = greatest(oldest_known_migration, 25);
