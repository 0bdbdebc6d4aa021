-- Settles of plain successes as functions of the database: planned once per connection, and one round trip for a batch.

-- Sent as a plain statement, a batch was planned anew each time, and it took a transaction of four round trips to audit it
-- too; meanwhile its worker settled nothing else. A plan that is kept must be right for an empty table and for a full one,
-- so each function leaves the planner one way only.

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
-- primary key: `offset 0` keeps the planner from another order. A job that moves between the two steps, because its lease is
-- renewed, is either settled where it is now or left to be settled alone.
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

-- A claim does not wait for the disk. Whatever an attempt does to the world follows a commit of its own that does wait (the
-- intent of an effect, the record of a request to a model), and what was committed before it is on the disk then too. So
-- a claim that a crash of Postgres takes back had done nothing yet, and what its worker still writes is fenced.
create or replace function start_jobs(picked tid[], worker uuid, lease interval) returns setof jobs
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_indexscan = off set enable_bitmapscan = off
set jit = off
as $$
begin
    perform set_config('synchronous_commit', 'off', true);
    return query
        update jobs
        set state = 'running', attempt = attempt + 1, worker_id = worker, lease_until = now() + lease,
            started_at = clock_timestamp()
        where ctid = any(picked) and state = 'available'
        returning jobs.*;
end $$;
