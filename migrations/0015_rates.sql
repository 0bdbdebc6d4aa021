-- How often a model is asked per minute: buckets that all workers share, and the jobs that wait for their turn.

-- Read and written under its row lock by each request to a model with a rate.
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
