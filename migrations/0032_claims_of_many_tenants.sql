-- A claim goes on behind tenants that have nothing to take.

-- A claim looks at 64 tenants behind the one that was served last, and at the first 64. If their jobs may not run (a limit of
-- the tenant is reached, it is paused, no worker knows the kind), it found nothing, and so did every later one, whatever
-- the other tenants had waiting.
create or replace function claim_jobs(
    of_queue text, of_kinds text[], up_to bigint, worker uuid, lease interval, priorities smallint[], served_last uuid,
    known_tenants uuid[], capacities int[], other_capacity int
) returns setof jobs
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
    return query select * from start_jobs(picked, worker, lease);
end $$;
