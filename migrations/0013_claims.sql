-- Claims as functions of the database: planned once per connection, and never by reading the whole table.

-- Sent as a plain statement, a claim of one job was planned anew each time, which took 0.5 of its 0.7 ms. Keeping a plan
-- takes two settings that must not touch other statements, and a function brings its settings along through a transaction
-- pooler too: the plan does not know the limit (custom plans would be cheaper on paper), and a plan that was made while the
-- table was empty must not read all of it when it is full. `jit`, because a scan that is off counts as expensive before
-- Postgres 18 and would be compiled.

-- Hands the picked rows to a worker. They are locked, so they are found again where they lie, and by nothing else: while
-- the table is empty, a scan of an index looks cheaper.
-- The start is `clock_timestamp()` and not `now()`, which is the arrival of the statement's first message: over a slow
-- connection that can precede the commit that made the job available, and two of its attempts would seem to overlap.
create function start_jobs(picked tid[], worker uuid, lease interval) returns setof jobs
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_indexscan = off set enable_bitmapscan = off
set jit = off
as $$
begin
    return query
        update jobs
        set state = 'running', attempt = attempt + 1, worker_id = worker, lease_until = now() + lease,
            started_at = clock_timestamp()
        where ctid = any(picked) and state = 'available'
        returning jobs.*;
end $$;

-- Claims from the start of the index: by priority, then tenant after tenant beginning after the one that was served last,
-- and of each tenant the longest due first.
create function claim_jobs(
    of_queue text, of_kinds text[], up_to bigint, worker uuid, lease interval, priorities smallint[], served_last uuid,
    known_tenants uuid[], capacities int[], other_capacity int
) returns setof jobs
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off
as $$
begin
    -- The index steps from one tenant to the next with one look-up each, at most 64 of them. The laterals are evaluated in
    -- order and no further than the limit, so only claimed rows get locked.
    return query select * from start_jobs(array(
        select job.ctid
        from unnest(priorities) as p (priority)
        cross join lateral (
            with recursive later as (
                (select tenant_id, 1 as place from jobs
                 where queue = of_queue and priority = p.priority and state = 'available' and tenant_id > served_last
                 order by tenant_id limit 1)
                union all
                select next.tenant_id, place + 1 from later cross join lateral (
                    select tenant_id from jobs
                    where queue = of_queue and priority = p.priority and state = 'available' and tenant_id > later.tenant_id
                    order by tenant_id limit 1
                ) next
                where place < 64
            ), earlier as (
                (select tenant_id, 101 as place from jobs
                 where queue = of_queue and priority = p.priority and state = 'available' and tenant_id <= served_last
                 order by tenant_id limit 1)
                union all
                select next.tenant_id, place + 1 from earlier cross join lateral (
                    select tenant_id from jobs
                    where queue = of_queue and priority = p.priority and state = 'available'
                      and tenant_id > earlier.tenant_id and tenant_id <= served_last
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
    ), worker, lease);
end $$;

-- Claims the jobs that lie behind the given positions in the index, in the order given, with a share of the limit for each.
create function claim_jobs_after(
    of_queue text, of_kinds text[], up_to bigint, worker uuid, lease interval, priorities smallint[], tenants uuid[],
    run_ats timestamptz[], ids uuid[], shares bigint[]
) returns setof jobs
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off
as $$
begin
    return query select * from start_jobs(array(
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
    ), worker, lease);
end $$;
