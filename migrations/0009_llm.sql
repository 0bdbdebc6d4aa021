-- Requests to models: intents before they are sent, answers that are kept, lanes that stop for a provider that is away,
-- rates, budgets and batches.

-- One row per request to a model, without prompt or completion. It is written before the request is sent, under the id
-- that the provider sees as x-client-request-id.
create table llm_calls (
    tenant_id uuid not null,
    id uuid not null,
    job_id uuid not null,
    attempt int not null,
    kind text not null,
    -- The key that submitted the job; null for people and watched mailboxes.
    api_key_id uuid,
    step text not null,
    provider text not null,
    model text not null,
    -- What the provider served, as far as it says so: flex is the cheaper and slower tier of OpenAI, and a batch is
    -- answered within a day. cache: an answer of before; no request was sent.
    tier text not null default 'standard' check (tier in ('standard', 'flex', 'batch', 'cache')),
    prompt_version text not null,
    prompt_sha256 bytea not null check (octet_length(prompt_sha256) = 32),
    prompt_bytes int not null,
    response_bytes int not null,
    input_tokens bigint not null,
    output_tokens bigint not null,
    cached_tokens bigint not null,
    -- reserved: sent and not settled. possibly_billed: it timed out, or its worker died; the provider may bill it.
    billing text not null check (billing in ('reserved', 'settled', 'possibly_billed')),
    -- The most that it can use. Counts against budgets while it is reserved, and for good if it is possibly billed.
    reserved_tokens bigint not null check (reserved_tokens >= 0),
    -- Millionths of a US dollar; null if the prices file has no price for the model.
    reserved_micros bigint check (reserved_micros >= 0),
    cost_micros bigint check (cost_micros >= 0),
    tries int not null,
    duration_ms bigint not null,
    outcome text not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, id)
);
create index llm_calls_job on llm_calls (tenant_id, job_id);
-- Requests in flight: few, and looked for by maintenance.
create index llm_calls_reserved on llm_calls (created_at) where billing = 'reserved';
-- Usage by day.
create index llm_calls_created_at on llm_calls (tenant_id, created_at);
-- For retention, as on finished_jobs: rows arrive in the order of created_at.
create index llm_calls_age on llm_calls using brin (created_at) with (pages_per_range = 32, autosummarize);

-- Completions, kept until their job ends: a crash after the answer must not pay for it twice.
create table llm_checkpoints (
    tenant_id uuid not null,
    job_id uuid not null,
    step text not null,
    request_hash bytea not null check (octet_length(request_hash) = 32),
    completion jsonb not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, job_id, step, request_hash)
);
create index llm_checkpoints_created_at on llm_checkpoints (created_at);

-- Answers of models that are used again for the same question of the same tenant.
create table llm_answers (
    tenant_id uuid not null references tenants (id),
    -- Of the prompt without the time of day, the model and the schema.
    question_hash bytea not null check (octet_length(question_hash) = 32),
    completion jsonb not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, question_hash)
);
create index llm_answers_created_at on llm_answers (created_at);

-- Questions to models and their answers, kept for people to read where a tenant's owner wants it.
create table llm_captures (
    tenant_id uuid not null references tenants (id),
    -- Of llm_calls.
    call_id uuid not null,
    job_id uuid not null,
    step text not null,
    -- The messages and the answer, as JSON, sealed for this row (CREDENTIAL_KEYS).
    exchange bytea not null,
    key_id text not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, call_id)
);
create index llm_captures_job on llm_captures (tenant_id, job_id);
create index llm_captures_created_at on llm_captures (created_at);

-- A lane is a provider with a model. While it has a reason, it is open (in the words of circuit breakers): nobody asks
-- before `until`, and then one request at a time probes it.
create table llm_lanes (
    provider text not null,
    model text not null,
    -- The class of the failure that opened it.
    reason text,
    until timestamptz,
    -- Failed requests since the last success, by all workers. Requests that were in flight when it opened do not count.
    failures int not null default 0 check (failures >= 0),
    -- The request that probes it, and until when its answer is awaited.
    probe_id uuid,
    probe_until timestamptz,
    -- When it closed last: the jobs that waited for it are released.
    closed_at timestamptz,
    changed_at timestamptz not null default now(),
    primary key (provider, model),
    check ((reason is null) = (until is null)),
    check ((probe_id is null) = (probe_until is null)),
    check (reason is not null or probe_id is null)
);

-- How often a model is asked per minute: buckets that all workers share. Read and written under its row lock by each
-- request to a model with a rate.
create table llm_rates (
    provider text not null,
    model text not null,
    -- What the worker that asked last is configured with: turns are assigned by it. Null is no limit.
    requests_per_minute bigint check (requests_per_minute > 0),
    tokens_per_minute bigint check (tokens_per_minute > 0),
    -- When each bucket will be full again: a request moves it by the time in which the rate earns it.
    requests_full_at timestamptz not null default now(),
    tokens_full_at timestamptz not null default now(),
    primary key (provider, model)
) with (fillfactor = 70);

-- One row for each job that a rate refused. It stays for some minutes after its turn, to tell whose turn was longest ago.
create table llm_rate_turns (
    tenant_id uuid not null,
    job_id uuid not null,
    provider text not null,
    model text not null,
    -- What its request counts.
    tokens bigint not null check (tokens >= 0),
    -- Its place among the jobs of its tenant; it keeps it when it is refused again.
    queued_at timestamptz not null default now(),
    -- Null until its turn is assigned.
    turn_at timestamptz,
    taken_at timestamptz,
    primary key (tenant_id, job_id, provider, model),
    check (taken_at is null or turn_at is not null)
);
create index llm_rate_turns_open on llm_rate_turns (provider, model, turn_at) where taken_at is null;

-- What a tenant may use, in all its jobs or in those of one kind, in a day or a month of UTC. `reserved` is in flight.
create table llm_budgets (
    tenant_id uuid not null references tenants (id),
    -- Null: the budget covers all jobs of the tenant. A job that a key submitted, directly or through other jobs,
    -- is covered by the key's budgets and by the tenant's.
    api_key_id uuid,
    -- A kind of job, or '*' for all of them.
    kind text not null check (length(kind) between 1 and 100),
    period text not null check (period in ('day', 'month')),
    max_tokens bigint check (max_tokens >= 0),
    max_micros bigint check (max_micros >= 0),
    -- The period that `spent` belongs to; in a later one nothing is spent yet.
    period_start date not null,
    spent_tokens bigint not null default 0 check (spent_tokens >= 0),
    spent_micros bigint not null default 0 check (spent_micros >= 0),
    reserved_tokens bigint not null default 0 check (reserved_tokens >= 0),
    reserved_micros bigint not null default 0 check (reserved_micros >= 0),
    constraint llm_budgets_api_key_id_fkey foreign key (tenant_id, api_key_id) references api_keys (tenant_id, id)
        on delete cascade,
    check (max_tokens is not null or max_micros is not null)
) with (fillfactor = 70);
create unique index llm_budgets_key on llm_budgets (tenant_id, api_key_id, kind, period) nulls not distinct;
-- Without a primary key, because its key holds nulls: a database that is published for logical replication would refuse
-- updates.
alter table llm_budgets replica identity full;

-- Batches at a provider: work that can wait costs less. The row is committed before the batch is made, under the name
-- that the provider keeps where it can: a batch whose maker died is looked for before it is made again.
create table llm_batches (
    id uuid primary key,
    provider text not null,
    model text not null,
    -- The provider's id; null until it is known that the batch was made.
    provider_id text,
    created_at timestamptz not null default now(),
    -- When the provider took it: its answers come within a day of that, however long the batch waited to be made. Null
    -- while it is not known that the batch was made.
    made_at timestamptz,
    -- When it is looked at again. The worker that looks at it moves this first, so that no other does.
    due_at timestamptz not null
);
create index llm_batches_due_at on llm_batches (due_at);

-- One request of a job that waits for a batch or is in one. The job is parked meanwhile, without a slot. The row stays
-- until the job ends, so that a step of a job is in a batch at most once.
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
    state text not null default 'waiting' check (state in ('waiting', 'sent', 'answered', 'failed')),
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
