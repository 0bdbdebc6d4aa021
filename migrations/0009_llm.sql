-- Model calls: intents before they are sent, lanes that stop for a provider that is away, budgets, and what a tenant
-- wants during an outage.

-- The row is written before the request is sent, under the id that the provider sees as x-client-request-id.
alter table llm_calls
    add column kind text not null default '',
    -- reserved: sent and not settled. possibly_billed: it timed out, or its worker died; the provider may bill it.
    add column billing text not null default 'settled' check (billing in ('reserved', 'settled', 'possibly_billed')),
    -- The most that it can use. Counts against budgets while it is reserved, and for good if it is possibly billed.
    add column reserved_tokens bigint not null default 0 check (reserved_tokens >= 0),
    -- Millionths of a US dollar; null if the prices file has no price for the model.
    add column reserved_micros bigint check (reserved_micros >= 0),
    add column cost_micros bigint check (cost_micros >= 0);
-- Requests in flight: few, and looked for by maintenance.
create index llm_calls_reserved on llm_calls (created_at) where billing = 'reserved';
-- Usage by day.
create index llm_calls_created_at on llm_calls (tenant_id, created_at);

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

-- What a tenant may use, in all its jobs or in those of one kind, in a day or a month of UTC. `reserved` is in flight.
create table llm_budgets (
    tenant_id uuid not null references tenants (id),
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
    primary key (tenant_id, kind, period),
    check (max_tokens is not null or max_micros is not null)
) with (fillfactor = 70);

-- How long jobs wait for a model that is away, and whether triage may give up earlier.
alter table tenants
    add column triage_wait_seconds int not null default 86400 check (triage_wait_seconds between 1 and 2592000),
    add column draft_wait_seconds int not null default 259200 check (draft_wait_seconds between 1 and 2592000),
    add column on_outage text not null default 'wait' check (on_outage in ('wait', 'fallback_after')),
    add column fallback_after_seconds int not null default 3600 check (fallback_after_seconds between 1 and 2592000);

-- The model was away and the fallback decided: the message is triaged again when the model is back.
alter table triage_results add column outage boolean not null default false;
drop index triage_results_once_key;
create unique index triage_results_once_key on triage_results (tenant_id, content_hash, ruleset_version, mode)
    where not forced and not outage;
