-- What the queue's remaining promises need: fair claims, limits, cancellation, dedupe, children, progress, dead letters.

-- A tenant's jobs are listed from either table in the order of their ids, which is that of their creation; a job is
-- never looked up without its tenant. One index serves both, where (id) and (tenant_id, id) would be two.
alter table jobs drop constraint jobs_pkey, add primary key (tenant_id, id);
alter table finished_jobs drop constraint finished_jobs_pkey, add primary key (tenant_id, id);

alter table jobs
    -- Asked to stop while running; its worker hears of it within a second.
    add column cancel_requested_at timestamptz,
    -- At most one waiting job per key: see queue::enqueue.
    add column dedupe_key text check (length(dedupe_key) between 1 and 255),
    -- The job that enqueued this one and may be waiting for it.
    add column parent_id uuid,
    -- How many children the job has enqueued, and whether it waits for their ends (scheduled, at no time).
    add column children int not null default 0,
    add column awaits_children boolean not null default false,
    add column progress real check (progress between 0 and 1),
    add column progress_note text check (length(progress_note) <= 200);

alter table finished_jobs
    add column dedupe_key text,
    add column parent_id uuid,
    add column children int not null default 0;

-- One tenant after another, and within a tenant by time: a claim steps from tenant to tenant (queue::claim).
drop index jobs_claim;
create index jobs_claim on jobs (queue, priority, tenant_id, run_at, id) where state = 'available';

create unique index jobs_dedupe on jobs (tenant_id, kind, dedupe_key)
    where dedupe_key is not null and state in ('available', 'scheduled', 'retryable');
create index jobs_cancel on jobs (worker_id) where cancel_requested_at is not null and state = 'running';
create index jobs_parent on jobs (parent_id) where parent_id is not null;
create index jobs_awaiting on jobs (id) where awaits_children;
create index finished_jobs_parent on finished_jobs (parent_id) where parent_id is not null;
-- Dead letters: few, and looked at by people.
create index finished_jobs_discarded on finished_jobs (tenant_id, id) where state = 'discarded';

-- What attempts told of themselves while they ran, and what people did to the job: the part of a job's event log that
-- cannot be derived from its row and its attempts.
create table job_events (
    tenant_id uuid not null,
    job_id uuid not null,
    attempt int not null,
    -- Counts within the attempt, from 1.
    seq int not null,
    at timestamptz not null default now(),
    kind text not null check (kind in ('progress', 'cancel_requested', 'retried')),
    progress real,
    note text check (length(note) <= 200),
    primary key (tenant_id, job_id, attempt, seq)
);

-- The most jobs that may run at the same time in the whole fleet. `name` is a queue, a kind, a tenant's id, or '*' for
-- every tenant that has no limit of its own.
create table queue_limits (
    scope text not null check (scope in ('queue', 'kind', 'tenant')),
    name text not null check (length(name) between 1 and 100),
    max_running int not null check (max_running between 1 and 100000),
    primary key (scope, name)
);

-- Worker processes that were heard of lately: for people, never for leases.
create table workers (
    id uuid primary key,
    host text not null,
    queues text[] not null,
    slots int not null,
    running int not null,
    stopping boolean not null default false,
    version text not null,
    started_at timestamptz not null,
    seen_at timestamptz not null default now()
);
