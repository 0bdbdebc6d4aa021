-- The job queue: its tables, and the functions with which workers claim jobs and settle successes. It stands alone: no
-- other migration is needed to run it, and no table here refers to one of theirs. Waiting and running jobs live in
-- `jobs`, a small hot table. The statement that settles a job moves it to `finished_jobs`, so that claims never read
-- history.

-- Column order and fill factor were measured (BENCHMARKS.md): 31 µs of server time and 1,520 bytes of WAL per job before.
-- The columns that a claim changes stand last, because an update that stays on its page logs only from the first changed
-- byte to the last; pages are filled to 40 %, so that the new version of every claimed row fits on the same page.
create table jobs (
    tenant_id uuid not null,
    id uuid not null,
    created_at timestamptz not null default now(),
    -- 1 is the most urgent, 4 the least.
    priority smallint not null default 3,
    max_attempts int not null,
    max_crashes int not null default 3,
    -- How many children the job has enqueued.
    children int not null default 0,
    -- The job is scheduled without a time and waits until its children have finished.
    awaits_children boolean not null default false,
    kind text not null,
    queue text not null,
    args jsonb not null,
    request_id text,
    -- The id that a client gave the request that submitted the job (X-Request-Id). Ours alone is unique.
    client_request_id text,
    traceparent text,
    -- At most one waiting job has a given key: see the index jobs_dedupe.
    dedupe_key text,
    -- The job that enqueued this one and may be waiting for it.
    parent_id uuid,
    last_error_code text,
    last_error_message text,
    progress real,
    progress_note text,
    -- Set while the job runs; its worker notices within a second.
    cancel_requested_at timestamptz,
    run_at timestamptz not null default now(),
    -- Attempts that count against max_attempts, and attempts whose worker died.
    errors int not null default 0,
    crashes int not null default 0,
    -- The fence: grows with every claim and never shrinks, so that (id, attempt) names exactly one holder.
    attempt int not null default 0,
    state text not null,
    worker_id uuid,
    lease_until timestamptz,
    started_at timestamptz,
    -- A tenant's jobs are listed in the order of their ids, which is the order of their creation, and no job is looked up
    -- without its tenant: this one index serves both.
    primary key (tenant_id, id),
    -- One check costs less than eight.
    constraint jobs_check check (
        state in ('available', 'scheduled', 'running', 'retryable')
        and (state = 'running') = (lease_until is not null)
        and (state = 'running') = (worker_id is not null)
        and priority between 1 and 4 and max_attempts between 1 and 100 and max_crashes between 1 and 100
        and length(dedupe_key) between 1 and 255 is not false
        and progress between 0 and 1 is not false and length(progress_note) <= 200 is not false)
) with (
    fillfactor = 40,
    -- The table is small and changes all the time: vacuum after a fixed number of dead rows, not a share of the table.
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 200000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000,
    autovacuum_vacuum_cost_delay = 0
);
-- A claim steps from tenant to tenant and takes each tenant's jobs by time.
create index jobs_claim on jobs (queue, priority, tenant_id, run_at, id) where state = 'available';
-- Jobs scheduled for later and jobs waiting for their next attempt.
create index jobs_due on jobs (run_at) where state in ('scheduled', 'retryable');
-- Leases that expire. The predicate is not the state on purpose: with statistics from a moment when nothing ran, the
-- planner takes an index on `state = 'running'` for empty, and settles then read all of it.
create index jobs_lease on jobs (lease_until) where lease_until is not null;
create unique index jobs_dedupe on jobs (tenant_id, kind, dedupe_key)
    where dedupe_key is not null and state in ('available', 'scheduled', 'retryable');
create index jobs_cancel on jobs (worker_id) where cancel_requested_at is not null;
create index jobs_parent on jobs (parent_id) where parent_id is not null;
create index jobs_awaiting on jobs (id) where awaits_children;

create table finished_jobs (
    id uuid not null,
    tenant_id uuid not null,
    kind text not null,
    queue text not null,
    state text not null check (state in ('succeeded', 'discarded', 'cancelled')),
    priority smallint not null,
    attempt int not null,
    errors int not null,
    crashes int not null,
    max_attempts int not null,
    args jsonb not null,
    worker_id uuid,
    run_at timestamptz not null,
    started_at timestamptz,
    created_at timestamptz not null,
    finished_at timestamptz not null default now(),
    request_id text,
    client_request_id text,
    traceparent text,
    output jsonb,
    error_code text,
    error_message text,
    dedupe_key text,
    parent_id uuid,
    children int not null default 0,
    primary key (tenant_id, id),
    check ((state = 'succeeded') = (error_code is null))
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
-- For retention. Rows arrive in the order of finished_at, so an index over block ranges finds the old ones at a
-- thousandth of a B-tree's cost.
create index finished_jobs_finished_at on finished_jobs using brin (finished_at)
    with (pages_per_range = 32, autosummarize);
create index finished_jobs_parent on finished_jobs (parent_id) where parent_id is not null;
-- Dead letters: few, and read by people.
create index finished_jobs_discarded on finished_jobs (tenant_id, id) where state = 'discarded';

-- Attempts that did not succeed: why the job was retried, handed back or given up. The attempt that succeeded is in
-- finished_jobs, so a job that succeeds at once writes nothing here.
create table job_attempts (
    job_id uuid not null,
    attempt int not null,
    tenant_id uuid not null,
    worker_id uuid,
    started_at timestamptz,
    ended_at timestamptz not null default now(),
    outcome text not null check (
        outcome in ('retried', 'discarded', 'cancelled', 'interrupted', 'snoozed', 'waiting', 'crashed')),
    error_code text,
    -- Safe for the user; the operator's detail is in the log, under the request id.
    error_message text,
    primary key (job_id, attempt)
);

-- The part of a job's event log that cannot be derived from its row and its attempts.
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

-- Maps the caller's name for a piece of work to its job. Kept longer than the job's row, so that work is not repeated.
create table job_keys (
    tenant_id uuid not null,
    kind text not null,
    external_id text not null check (length(external_id) between 1 and 255),
    fingerprint bytea not null check (octet_length(fingerprint) = 32),
    job_id uuid not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, kind, external_id)
);

-- The most jobs that may run at the same time over all workers. `name` is a queue, a kind, a tenant's id, or '*' for
-- every tenant that has no limit of its own.
create table queue_limits (
    scope text not null check (scope in ('queue', 'kind', 'tenant')),
    name text not null check (length(name) between 1 and 100),
    -- 0 while nothing may run, as for a tenant that is paused.
    max_running int not null check (max_running between 0 and 100000),
    primary key (scope, name)
);

-- Queues from which no worker claims. Resuming deletes the row.
create table queue_pauses (
    queue text primary key check (length(queue) between 1 and 100),
    paused_at timestamptz not null default now(),
    -- Shown to people who find the queue paused.
    reason text not null check (length(reason) <= 500)
);

-- The latest job counts, taken by one worker for all.
create table queue_samples (
    queue text not null,
    state text not null,
    jobs bigint not null,
    oldest_run_at timestamptz,
    sampled_at timestamptz not null default now(),
    primary key (queue, state)
);

-- Worker processes that sent a heartbeat recently. For people; leases never depend on it.
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

-- Periodic duties, one row each. A worker claims a duty by updating its row.
create table maintenance_duties (
    name text primary key,
    due_at timestamptz not null,
    last_run_at timestamptz,
    last_worker_id uuid,
    -- When a retention duty last had nothing left to delete; null for duties that delete nothing.
    caught_up_at timestamptz
);

-- Claims and settles are functions of the database: planned once per connection, and never by reading the whole table.
--
-- Sent as a plain statement, a claim of one job was planned anew each time, which took 0.5 of its 0.7 ms. Keeping a plan
-- takes two settings that must not touch other statements, and a function brings its settings along through a transaction
-- pooler too: the plan does not know the limit (custom plans would be cheaper on paper), and a plan that was made while the
-- table was empty must not read all of it when it is full. `jit`, because a scan that is off counts as expensive before
-- Postgres 18 and would be compiled.

-- Hands the picked rows to a worker, and returns their places and what the worker needs. They are locked, so they are found
-- again where they lie, and by nothing else: while the table is empty, a scan of an index looks cheaper.
-- The start is `clock_timestamp()` and not `now()`, which is the arrival of the statement's first message: over a slow
-- connection that can precede the commit that made the job available, and two of its attempts would seem to overlap.
--
-- A claim does not wait for the disk. Whatever an attempt does to the world follows a commit of its own that does wait (the
-- intent of an effect, the record of a request to a model), and what was committed before it is on the disk then too. So
-- a claim that a crash of Postgres takes back had done nothing yet, and what its worker still writes is fenced.
create function start_picked(picked tid[], worker uuid, lease interval) returns table (
    place tid, id uuid, tenant_id uuid, kind text, queue text, priority smallint, args jsonb, attempt int, errors int,
    crashes int, max_attempts int, run_at timestamptz, created_at timestamptz, started_at timestamptz, request_id text,
    traceparent text, parent_id uuid, children int
)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_indexscan = off set enable_bitmapscan = off
set jit = off
as $$
#variable_conflict use_column
begin
    perform set_config('synchronous_commit', 'off', true);
    return query
        update jobs
        set state = 'running', attempt = attempt + 1, worker_id = worker, lease_until = now() + lease,
            started_at = clock_timestamp()
        where ctid = any(picked) and state = 'available'
        returning ctid, id, tenant_id, kind, queue, priority, args, attempt, errors, crashes, max_attempts, run_at,
            created_at, started_at, request_id, traceparent, parent_id, children;
end $$;

-- Picks and locks jobs from the start of the index: by priority, then tenant after tenant beginning after the one that was
-- served last, and of each tenant the longest due first.
--
-- It looks at 64 tenants behind the one that was served last, and at the first 64. If their jobs may not run (a limit of
-- the tenant is reached, it is paused, no worker knows the kind), it goes on behind them: otherwise it would find
-- nothing, and so would every later claim, whatever the other tenants have waiting.
create function pick_jobs(
    of_queue text, of_kinds text[], up_to bigint, priorities smallint[], served_last uuid,
    known_tenants uuid[], capacities int[], other_capacity int
) returns tid[]
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off
as $$
declare
    after_tenant uuid := served_last;
    window_end uuid := '00000000-0000-0000-0000-000000000000';
    picked tid[];
    is_first boolean := true;
begin
    loop
        -- The index steps from one tenant to the next with one look-up each, at most 64 of them. The laterals are evaluated
        -- in order and no further than the limit, so only claimed rows get locked.
        picked := array(
            select job.ctid
            from unnest(priorities) as p (priority)
            cross join lateral (
                with recursive later as (
                    (select tenant_id, 1 as place from jobs
                     where queue = of_queue and priority = p.priority and state = 'available' and tenant_id > after_tenant
                     order by tenant_id limit 1)
                    union all
                    select next.tenant_id, place + 1 from later cross join lateral (
                        select tenant_id from jobs
                        where queue = of_queue and priority = p.priority and state = 'available'
                          and tenant_id > later.tenant_id
                        order by tenant_id limit 1
                    ) next
                    where place < 64
                ), earlier as (
                    (select tenant_id, 101 as place from jobs
                     where queue = of_queue and priority = p.priority and state = 'available' and tenant_id <= after_tenant
                       and is_first
                     order by tenant_id limit 1)
                    union all
                    select next.tenant_id, place + 1 from earlier cross join lateral (
                        select tenant_id from jobs
                        where queue = of_queue and priority = p.priority and state = 'available'
                          and tenant_id > earlier.tenant_id and tenant_id <= after_tenant
                        order by tenant_id limit 1
                    ) next
                    where place < 164
                )
                select tenant_id, place, count(*) over () as tenants
                from (select * from later union all select * from earlier) both_ways
                order by place
            ) tenant
            cross join lateral (
                select ctid from jobs
                where queue = of_queue and priority = p.priority and state = 'available'
                  and tenant_id = tenant.tenant_id and kind = any(of_kinds)
                order by run_at, id
                limit least(
                    (up_to + tenant.tenants - 1) / tenant.tenants,
                    coalesce((select capacity from unnest(known_tenants, capacities) as known (tenant_id, capacity)
                              where known.tenant_id = tenant.tenant_id), other_capacity))
                for update skip locked
            ) job
            where not exists (select from queue_pauses where queue_pauses.queue = of_queue)
            limit up_to
        );
        exit when cardinality(picked) > 0
            or exists (select from queue_pauses where queue_pauses.queue = of_queue);
        -- Nothing to take from these tenants. Behind the first 64 of a priority there may be others.
        is_first := false;
        window_end := (
            select last.tenant_id
            from unnest(priorities) as p (priority)
            cross join lateral (
                with recursive walk as (
                    (select tenant_id, 1 as place from jobs
                     where queue = of_queue and priority = p.priority and state = 'available' and tenant_id > window_end
                     order by tenant_id limit 1)
                    union all
                    select next.tenant_id, place + 1 from walk cross join lateral (
                        select tenant_id from jobs
                        where queue = of_queue and priority = p.priority and state = 'available'
                          and tenant_id > walk.tenant_id
                        order by tenant_id limit 1
                    ) next
                    where place < 64
                )
                select tenant_id from walk where place = 64
            ) last
            order by last.tenant_id limit 1);
        exit when window_end is null;
        after_tenant := window_end;
    end loop;
    return picked;
end $$;

-- Picks and locks the jobs that lie behind the given positions in the index, in the order given, with a share of the limit
-- for each.
create function pick_jobs_after(
    of_queue text, of_kinds text[], up_to bigint, priorities smallint[], tenants uuid[], run_ats timestamptz[], ids uuid[],
    shares bigint[]
) returns tid[]
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off
as $$
begin
    return array(
        select job.ctid
        from unnest(priorities, tenants, run_ats, ids, shares) as known (priority, tenant_id, run_at, id, share)
        cross join lateral (
            select ctid from jobs
            where queue = of_queue and priority = known.priority and state = 'available'
              and tenant_id = known.tenant_id and (run_at, id) > (known.run_at, known.id) and kind = any(of_kinds)
            order by run_at, id
            limit known.share
            for update skip locked
        ) job
        where not exists (select from queue_pauses where queue_pauses.queue = of_queue)
        limit up_to
    );
end $$;

-- Sent as a plain statement, a batch of successes was planned anew each time, and it took a transaction of four round
-- trips to audit it too; meanwhile its worker settled nothing else. A plan that is kept must be right for an empty table
-- and for a full one, so each of the two functions leaves the planner one way only.

-- Moves the jobs that lie at these places to finished_jobs. They are found there and by nothing else, and a hash joins them
-- with the attempts that ended: the planner expects few of either, and would compare each with each.
create function finish_succeeded(
    places tid[], tenants uuid[], ids uuid[], attempts int[], workers uuid[], outputs jsonb[]
) returns table (tenant_id uuid, id uuid, attempt int)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_indexscan = off set enable_bitmapscan = off
set enable_nestloop = off set enable_mergejoin = off set jit = off
as $$
#variable_conflict use_column
begin
    return query
        with settled as (
            delete from jobs
            using unnest(tenants, ids, attempts, workers, outputs) as ended (tenant_id, id, attempt, worker_id, output)
            where jobs.ctid = any(places) and jobs.state = 'running'
              and jobs.tenant_id = ended.tenant_id and jobs.id = ended.id and jobs.attempt = ended.attempt
              and jobs.worker_id = ended.worker_id
            returning jobs.*, ended.output
        )
        insert into finished_jobs (
            id, tenant_id, kind, queue, priority, attempt, max_attempts, args, worker_id, run_at, started_at, created_at,
            request_id, traceparent, dedupe_key, parent_id, children, client_request_id, state, errors, crashes, output)
        select id, tenant_id, kind, queue, priority, attempt, max_attempts, args, worker_id, run_at, started_at, created_at,
            request_id, traceparent, dedupe_key, parent_id, children, client_request_id, 'succeeded', errors, crashes, output
        from settled
        returning finished_jobs.tenant_id, finished_jobs.id, finished_jobs.attempt;
end $$;

-- Settles the attempts that still hold their jobs, and returns those. The lateral look-ups are made one by one along the
-- primary key: `offset 0` keeps the planner from another order. A job that moves between the two steps, because its lease
-- is renewed, is either settled where it is now or left to be settled alone.
create function settle_succeeded(tenants uuid[], ids uuid[], attempts int[], workers uuid[], outputs jsonb[])
returns table (tenant_id uuid, id uuid, attempt int)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off
as $$
#variable_conflict use_column
begin
    return query select * from finish_succeeded(
        array(
            select job.ctid
            from unnest(tenants, ids) as ended (tenant_id, id)
            cross join lateral (
                select ctid from jobs where jobs.tenant_id = ended.tenant_id and jobs.id = ended.id offset 0
            ) job
        ),
        tenants, ids, attempts, workers, outputs);
end $$;

-- The look-ups and the hash of the two functions above are most of what a settle costs. A claim returned the place of each
-- row, and most rows still lie there.

-- Settles attempts that succeeded, each where its job lies, and returns their positions, from 1. The loop over the attempts
-- has one way to a job, its place, whatever the statistics say.
create function finish_placed(
    places tid[], tenants uuid[], ids uuid[], attempts int[], workers uuid[], outputs jsonb[]
) returns int[]
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_indexscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off set enable_material = off set jit = off
as $$
declare
    settled int[];
begin
    with ended as (
        delete from jobs
        using generate_series(1, cardinality(ids)) as nth
        where jobs.ctid = places[nth] and jobs.state = 'running' and jobs.tenant_id = tenants[nth] and jobs.id = ids[nth]
          and jobs.attempt = attempts[nth] and jobs.worker_id = workers[nth]
        returning id, tenant_id, kind, queue, priority, attempt, max_attempts, args, worker_id, run_at, started_at, created_at,
            request_id, traceparent, dedupe_key, parent_id, children, client_request_id, errors, crashes, nth
    ), finished as (
        insert into finished_jobs (
            id, tenant_id, kind, queue, priority, attempt, max_attempts, args, worker_id, run_at, started_at, created_at,
            request_id, traceparent, dedupe_key, parent_id, children, client_request_id, state, errors, crashes, output)
        select id, tenant_id, kind, queue, priority, attempt, max_attempts, args, worker_id, run_at, started_at, created_at,
            request_id, traceparent, dedupe_key, parent_id, children, client_request_id, 'succeeded', errors, crashes,
            outputs[nth]
        from ended
    )
    select array_agg(nth) into settled from ended;
    return settled;
end $$;

-- Settles attempts as finish_placed does, looks up the jobs that have moved since their claim, because their lease was
-- renewed, and returns the positions of the attempts that were not settled.
create function settle_placed(
    places tid[], tenants uuid[], ids uuid[], attempts int[], workers uuid[], outputs jsonb[]
) returns int[]
language plpgsql
set plan_cache_mode = force_generic_plan set jit = off
as $$
declare
    settled int[] := finish_placed(places, tenants, ids, attempts, workers, outputs);
    moved int[];
begin
    if cardinality(settled) = cardinality(ids) then
        return '{}';
    end if;
    moved := array(
        select * from generate_series(1, cardinality(ids)) except all select * from unnest(settled) order by 1);
    settled := array(
        select nth
        from settle_succeeded(
            array(select tenants[nth] from unnest(moved) as nth), array(select ids[nth] from unnest(moved) as nth),
            array(select attempts[nth] from unnest(moved) as nth), array(select workers[nth] from unnest(moved) as nth),
            array(select outputs[nth] from unnest(moved) as nth)
        ) as late
        join unnest(moved) as nth on ids[nth] = late.id);
    return array(select * from unnest(moved) except all select * from unnest(settled) order by 1);
end $$;
