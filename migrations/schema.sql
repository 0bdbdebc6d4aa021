-- The schema as the migrations leave it, written by `cargo dev schema` and held by a test. For reading: change it
-- by a new migration.

create extension if not exists btree_gist;

create or replace function approvals_of_user(of_tenant uuid, of_user uuid)
 returns table(approval_id uuid)
 language sql
 stable
 set search_path to 'pg_catalog', 'public'
as $function$
    with emails as materialized (select message_id from emails_of_user(of_tenant, of_user))
    select a.id from approvals a where a.tenant_id = of_tenant and of_user in (a.requested_by, a.owner_id)
    union
    select d.approval_id from drafts d where d.tenant_id = of_tenant and d.user_id = of_user
    union
    select d.approval_id from drafts d join emails on d.tenant_id = of_tenant and d.message_id = emails.message_id
    union
    select b.approval_id from blocks b where b.tenant_id = of_tenant and b.user_id = of_user and b.approval_id is not null
    union
    select b.approval_id from emails
    join inbox_items i on i.tenant_id = of_tenant and i.message_id = emails.message_id
    join blocks b on b.tenant_id = of_tenant and b.inbox_item_id = i.id
    where b.approval_id is not null
    union
    select p.approval_id from proposed_actions p join emails on p.tenant_id = of_tenant and p.message_id = emails.message_id
    where p.approval_id is not null
$function$;

create or replace function audit_entries_of(batch audit_batches)
 returns setof audit_entries
 language sql
 stable
as $function$
    select batch.tenant_id, batch.xid, batch.seq + nth - 1,
        (left(batch.id::text, 32) || lpad(to_hex(nth), 4, '0'))::uuid, batch.at, 'worker', batch.worker_id, null::uuid,
        'job.succeeded', 'job', null::text, request_id, trace_id, job_id, attempt, 'ok', false, null::text, '{}'::jsonb
    from unnest(batch.job_ids, batch.attempts, batch.request_ids, batch.trace_ids) with ordinality
        as entry (job_id, attempt, request_id, trace_id, nth)
$function$;

create or replace function effects_of_user(of_tenant uuid, of_user uuid)
 returns table(effect_id uuid)
 language sql
 stable
 set search_path to 'pg_catalog', 'public'
as $function$
    select e.id from effects e
    join connections c on c.tenant_id = e.tenant_id and c.id = e.connection_id
    where e.tenant_id = of_tenant and c.user_id = of_user and c.provider <> 'webhook'
    union
    select e.id from effects e
    join approvals_of_user(of_tenant, of_user) a on e.tenant_id = of_tenant and e.approval_id = a.approval_id
    union
    select e.id from effects e
    join emails_of_user(of_tenant, of_user) m on e.tenant_id = of_tenant and e.message_id = m.message_id
    union
    select e.id from effects e
    join jobs_of_user(of_tenant, of_user) j on e.tenant_id = of_tenant and e.job_id = j.job_id
$function$;

create or replace function emails_of_user(of_tenant uuid, of_user uuid)
 returns table(message_id uuid)
 language sql
 stable
 set search_path to 'pg_catalog', 'public'
as $function$
    with held as (
        select i.message_id, i.owner_id as user_id from inbox_items i where i.tenant_id = of_tenant
        union
        select d.message_id, d.user_id from drafts d where d.tenant_id = of_tenant
        union
        select o.message_id, o.user_id from own_messages o where o.tenant_id = of_tenant
        union
        select t.message_id, t.owner_id from triage_results t where t.tenant_id = of_tenant
        union
        select f.message_id, f.user_id from follow_ups f where f.tenant_id = of_tenant
        union
        select d.message_id, d.user_id from digest_entries d where d.tenant_id = of_tenant
        union
        select m.id, c.user_id
        from fetched_emails f
        join connections c on c.tenant_id = f.tenant_id and c.id = f.connection_id
        join messages m on m.tenant_id = f.tenant_id and m.content_hash = f.content_hash
        where f.tenant_id = of_tenant
    )
    select h.message_id from held h where h.user_id = of_user and h.message_id is not null
    except
    select h.message_id from held h where h.user_id <> of_user
$function$;

create or replace function erase_user(of_tenant uuid, of_user uuid)
 returns bigint
 language plpgsql
 set search_path to 'pg_catalog', 'public'
as $function$
declare
    emails uuid[];
    decided uuid[];
    work uuid[];
    accounts uuid[];
    done uuid[];
    history uuid[];
begin
    -- All of them before anything is deleted: each is found by rows of the others.
    select coalesce(array_agg(message_id), '{}') into emails from emails_of_user(of_tenant, of_user);
    select coalesce(array_agg(approval_id), '{}') into decided from approvals_of_user(of_tenant, of_user);
    select coalesce(array_agg(job_id), '{}') into work from jobs_of_user(of_tenant, of_user);
    select coalesce(array_agg(effect_id), '{}') into done from effects_of_user(of_tenant, of_user);
    select coalesce(array_agg(entry_id), '{}') into history from history_of_user(of_tenant, of_user);
    select coalesce(array_agg(id), '{}') into accounts from connections where tenant_id = of_tenant and user_id = of_user;

    delete from llm_checkpoints where tenant_id = of_tenant and job_id = any (work);
    delete from job_events where tenant_id = of_tenant and job_id = any (work);
    delete from job_attempts where tenant_id = of_tenant and job_id = any (work);
    delete from job_keys where tenant_id = of_tenant and job_id = any (work);
    delete from finished_jobs where tenant_id = of_tenant and id = any (work);
    delete from llm_batch_items where tenant_id = of_tenant and job_id = any (work);
    delete from request_keys where tenant_id = of_tenant and actor_id = of_user;

    perform set_config('postroom.erased_tenant', of_tenant::text, true);
    delete from history_entries where tenant_id = of_tenant and id = any (history);
    perform set_config('postroom.erased_tenant', '', true);
    delete from judgement_corrections where tenant_id = of_tenant and user_id = of_user;
    perform forget_digests(of_tenant, emails, decided);
    perform forget_approvals(of_tenant, decided);
    perform forget_effects(of_tenant, done);
    delete from blocks where tenant_id = of_tenant and user_id = of_user;
    update blocks b set inbox_item_id = null, title = 'A forgotten email', version = version + 1
        where b.tenant_id = of_tenant and b.inbox_item_id in (
            select i.id from inbox_items i where i.tenant_id = of_tenant and i.owner_id = of_user);
    delete from follow_ups where tenant_id = of_tenant and user_id = of_user;
    delete from digest_entries where tenant_id = of_tenant and user_id = of_user;
    delete from digests where tenant_id = of_tenant and user_id = of_user;
    delete from inbox_items where tenant_id = of_tenant and owner_id = of_user;
    delete from own_messages where tenant_id = of_tenant and user_id = of_user;
    perform forget_emails(of_tenant, emails);

    delete from memory_items where tenant_id = of_tenant and user_id = of_user;
    delete from delegations where tenant_id = of_tenant and of_user in (user_id, delegate_id);
    delete from password_resets where tenant_id = of_tenant and user_id = of_user;
    delete from second_factors where tenant_id = of_tenant and user_id = of_user;
    delete from sessions where tenant_id = of_tenant and user_id = of_user;
    delete from subscriptions where tenant_id = of_tenant and connection_id = any (accounts);
    delete from mailbox_watches where tenant_id = of_tenant and connection_id = any (accounts);
    delete from fetched_emails where tenant_id = of_tenant and connection_id = any (accounts);
    delete from connections where tenant_id = of_tenant and id = any (accounts);
    update users
        set timezone = 'UTC', follow_up_days = null, follow_up = 'item', digest_at = null, next_digest_at = null,
            digest_by_email = false
        where tenant_id = of_tenant and id = of_user;
    return cardinality(emails);
end $function$;

create or replace function finish_placed(places tid[], tenants uuid[], ids uuid[], attempts integer[], workers uuid[], outputs jsonb[])
 returns integer[]
 language plpgsql
 set plan_cache_mode to 'force_generic_plan'
 set enable_seqscan to 'off'
 set enable_indexscan to 'off'
 set enable_bitmapscan to 'off'
 set enable_hashjoin to 'off'
 set enable_mergejoin to 'off'
 set enable_material to 'off'
 set jit to 'off'
as $function$
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
end $function$;

create or replace function finish_succeeded(places tid[], tenants uuid[], ids uuid[], attempts integer[], workers uuid[], outputs jsonb[])
 returns table(tenant_id uuid, id uuid, attempt integer)
 language plpgsql
 set plan_cache_mode to 'force_generic_plan'
 set enable_seqscan to 'off'
 set enable_indexscan to 'off'
 set enable_bitmapscan to 'off'
 set enable_nestloop to 'off'
 set enable_mergejoin to 'off'
 set jit to 'off'
as $function$
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
end $function$;

create or replace function forget_approvals(of_tenant uuid, old uuid[])
 returns void
 language plpgsql
 set search_path to 'pg_catalog', 'public'
as $function$
declare
    written uuid[];
begin
    select coalesce(array_agg(id), '{}') into written from drafts where tenant_id = of_tenant and approval_id = any (old);
    perform forget_history(of_tenant, old || written);
    perform forget_effects(of_tenant, array(
        select id from effects where tenant_id = of_tenant and approval_id = any (old)));
    -- They quote the sender and the subject.
    delete from judgement_corrections where tenant_id = of_tenant and approval_id = any (old);
    perform set_config('postroom.erased_tenant', of_tenant::text, true);
    delete from draft_versions where tenant_id = of_tenant and draft_id = any (written);
    perform set_config('postroom.erased_tenant', '', true);
    delete from drafts where tenant_id = of_tenant and id = any (written);
    update approvals
        set title = 'Forgotten', summary = '', payload = '{}', rationale = null, failure_message = null,
            status = case when status in ('proposed', 'editing') then 'expired' else status end, version = version + 1
        where tenant_id = of_tenant and id = any (old);
end $function$;

create or replace function forget_digests(of_tenant uuid, emails uuid[], decisions uuid[])
 returns void
 language plpgsql
 set search_path to 'pg_catalog', 'public'
as $function$
declare
    naming uuid[];
begin
    -- A digest stores whom it names as text alone, but for the emails that were put off until then. A title has a line of
    -- its own.
    select array_agg(found.id) into naming from (
        select e.digest_id as id from digest_entries e
        where e.tenant_id = of_tenant and e.message_id = any (emails) and e.digest_id is not null
        union
        select d.id from inbox_items named
        join digests d on d.tenant_id = of_tenant and d.user_id = named.owner_id and d.created_at >= named.created_at
        join inbox_items shown on shown.tenant_id = of_tenant and shown.id = d.item_id
        where named.tenant_id = of_tenant and named.message_id = any (emails)
            and position(E'\n- ' || named.title || E'\n' in shown.rationale || E'\n') > 0
        union
        select d.id from approvals named
        join digests d on d.tenant_id = of_tenant
            and d.created_at between named.created_at and coalesce(named.decided_at, named.expires_at)
        join inbox_items shown on shown.tenant_id = of_tenant and shown.id = d.item_id
        where named.tenant_id = of_tenant and named.id = any (decisions)
            and position(E'\n- ' || named.title || E'\n' in shown.rationale || E'\n') > 0
    ) found;
    if naming is null then
        return;
    end if;
    update inbox_items i set rationale = '' from digests d
        where d.tenant_id = of_tenant and d.id = any (naming) and i.tenant_id = of_tenant and i.id = d.item_id;
    -- Effects do not say which digest they sent. Once it was sent, nothing needs the email of one any more.
    update effects e set rendered = null, receipt = null
        from digests d
        join connections c on c.tenant_id = d.tenant_id and c.user_id = d.user_id
        where d.tenant_id = of_tenant and d.id = any (naming) and e.tenant_id = of_tenant and e.connection_id = c.id
            and e.type = 'send_digest' and e.rendered is not null and e.created_at >= d.created_at
            and e.status in ('succeeded', 'bounced', 'failed_permanent', 'compensated', 'compensation_failed');
    update digests set item_id = null where tenant_id = of_tenant and id = any (naming);
end $function$;

create or replace function forget_effects(of_tenant uuid, old uuid[])
 returns void
 language plpgsql
 set search_path to 'pg_catalog', 'public'
as $function$
begin
    perform forget_history(of_tenant, old);
    update effects set rendered = null, receipt = null, before_image = null
        where tenant_id = of_tenant and id = any (old);
end $function$;

create or replace function forget_emails(of_tenant uuid, old uuid[])
 returns void
 language plpgsql
 set search_path to 'pg_catalog', 'public'
as $function$
declare
    items uuid[];
    planned uuid[];
    concerned uuid[];
begin
    select coalesce(array_agg(id), '{}') into items from inbox_items where tenant_id = of_tenant and message_id = any (old);
    select coalesce(array_agg(id), '{}') into planned from blocks where tenant_id = of_tenant and inbox_item_id = any (items);
    select coalesce(array_agg(made.approval_id), '{}') into concerned from (
        select approval_id from drafts where tenant_id = of_tenant and message_id = any (old)
        union
        select approval_id from proposed_actions
        where tenant_id = of_tenant and message_id = any (old) and approval_id is not null
        union
        select approval_id from blocks where tenant_id = of_tenant and id = any (planned) and approval_id is not null
    ) made;
    perform forget_digests(of_tenant, old, concerned);
    perform forget_approvals(of_tenant, concerned);
    perform forget_effects(of_tenant, array(
        select id from effects where tenant_id = of_tenant and message_id = any (old)));
    perform forget_history(of_tenant, old || items || planned);
    delete from proposed_actions where tenant_id = of_tenant and message_id = any (old);
    delete from triage_results where tenant_id = of_tenant and message_id = any (old);
    delete from own_messages where tenant_id = of_tenant and message_id = any (old);
    delete from task_messages where tenant_id = of_tenant and message_id = any (old);
    update blocks set title = 'A forgotten email', version = version + 1 where tenant_id = of_tenant and id = any (planned);
    -- Its name is made of the email's content.
    update inbox_items set message_id = null, title = 'A forgotten email', rationale = '', dedupe_key = id::text
        where tenant_id = of_tenant and id = any (items);
    delete from messages where tenant_id = of_tenant and id = any (old);
end $function$;

create or replace function forget_history(of_tenant uuid, objects uuid[])
 returns void
 language plpgsql
 set search_path to 'pg_catalog', 'public'
as $function$
begin
    perform set_config('postroom.erased_tenant', of_tenant::text, true);
    delete from history_entries where tenant_id = of_tenant and object_id = any (objects);
    perform set_config('postroom.erased_tenant', '', true);
end $function$;

create or replace function forget_old_emails(of_tenant uuid, at_most integer)
 returns bigint
 language plpgsql
 security definer
 set search_path to 'pg_catalog', 'public'
as $function$
declare
    old uuid[];
begin
    select array_agg(found.id) into old from (
        select m.id
        from messages m
        where m.tenant_id = of_tenant
            and m.received_at < (select now() - make_interval(days => email_retention_days) from tenants where id = of_tenant)
            and m.id not in (select named.id from named_by_jobs(of_tenant) named)
            and not exists (
                select from proposed_actions p
                join approvals a on a.tenant_id = p.tenant_id and a.id = p.approval_id
                where p.tenant_id = m.tenant_id and p.message_id = m.id
                    and a.status in ('editing', 'approved', 'executing', 'undoing'))
            and not exists (
                select from drafts d
                join approvals a on a.tenant_id = d.tenant_id and a.id = d.approval_id
                where d.tenant_id = m.tenant_id and d.message_id = m.id
                    and a.status in ('editing', 'approved', 'executing', 'undoing'))
            and not exists (
                select from inbox_items i
                join blocks b on b.tenant_id = i.tenant_id and b.inbox_item_id = i.id
                left join approvals a on a.tenant_id = b.tenant_id and a.id = b.approval_id
                where i.tenant_id = m.tenant_id and i.message_id = m.id
                    and (b.status in ('accepted', 'booked') and b.end_at > now()
                        or a.status in ('editing', 'approved', 'executing', 'undoing')))
        order by m.received_at, m.id
        limit at_most
        for update of m skip locked
    ) found;
    if old is null then
        return 0;
    end if;
    perform forget_emails(of_tenant, old);
    return cardinality(old);
end $function$;

create or replace function forget_old_writings(of_tenant uuid, at_most integer)
 returns bigint
 language plpgsql
 security definer
 set search_path to 'pg_catalog', 'public'
as $function$
declare
    before timestamptz;
    decided uuid[];
    done uuid[];
begin
    select now() - make_interval(days => email_retention_days) into before from tenants where id = of_tenant;
    decided := array(
        select a.id from approvals a
        where a.tenant_id = of_tenant and a.payload <> '{}' and a.created_at < before
            and greatest(a.created_at, a.decided_at, a.executed_at) < before
            and (a.status in ('executed', 'failed', 'rejected', 'expired', 'undone')
                or a.status = 'proposed' and a.expires_at < before)
            and not exists (
                select from effects e
                where e.tenant_id = of_tenant and e.approval_id = a.id
                    and e.status not in ('succeeded', 'bounced', 'failed_permanent', 'compensated', 'compensation_failed'))
            and not exists (
                select from blocks b
                where b.tenant_id = of_tenant and b.approval_id = a.id and b.status = 'booked' and b.end_at > now())
            and not exists (
                select from drafts d
                where d.tenant_id = of_tenant and d.approval_id = a.id
                    and (d.updated_at >= before or d.id in (select named.id from named_by_jobs(of_tenant) named)))
        order by a.created_at
        limit at_most
        for update of a skip locked);
    perform forget_approvals(of_tenant, decided);
    done := array(
        select e.id from effects e
        where e.tenant_id = of_tenant and e.rendered is not null and e.created_at < before and e.updated_at < before
            and e.status in ('succeeded', 'bounced', 'failed_permanent', 'compensated', 'compensation_failed')
            and not exists (
                select from blocks b
                where b.tenant_id = of_tenant and b.approval_id = e.approval_id and b.status = 'booked' and b.end_at > now())
        order by e.created_at
        limit at_most
        for update of e skip locked);
    perform forget_effects(of_tenant, done);
    return cardinality(decided) + cardinality(done);
end $function$;

create or replace function history_of_user(of_tenant uuid, of_user uuid)
 returns table(entry_id uuid)
 language sql
 stable
 set search_path to 'pg_catalog', 'public'
as $function$
    with emails as materialized (
        select message_id from emails_of_user(of_tenant, of_user)
    ), decided as materialized (
        select approval_id from approvals_of_user(of_tenant, of_user)
    ), items as materialized (
        select i.id from inbox_items i where i.tenant_id = of_tenant and i.owner_id = of_user
        union
        select i.id from inbox_items i join emails on i.tenant_id = of_tenant and i.message_id = emails.message_id
    ), objects as (
        select message_id as id from emails
        union
        select approval_id from decided
        union
        select d.id from drafts d join decided on d.tenant_id = of_tenant and d.approval_id = decided.approval_id
        union
        select effect_id from effects_of_user(of_tenant, of_user)
        union
        select id from items
        union
        select b.id from blocks b where b.tenant_id = of_tenant and b.user_id = of_user
        union
        select b.id from blocks b join items on b.tenant_id = of_tenant and b.inbox_item_id = items.id
        union
        select f.id from follow_ups f where f.tenant_id = of_tenant and f.user_id = of_user
        union
        select m.id from memory_items m where m.tenant_id = of_tenant and m.user_id = of_user
    )
    select h.id from history_entries h where h.tenant_id = of_tenant and h.user_id = of_user
    union
    select h.id from history_entries h join objects on h.tenant_id = of_tenant and h.object_id = objects.id
$function$;

create or replace function jobs_of_user(of_tenant uuid, of_user uuid)
 returns table(job_id uuid, state text)
 language sql
 stable
 set search_path to 'pg_catalog', 'public'
as $function$
    with every_job as (
        select id, state, args from jobs where tenant_id = of_tenant
        union all
        select id, state, args from finished_jobs where tenant_id = of_tenant
    )
    select j.id, j.state from every_job j
    where j.args->>'user' = of_user::text
        or j.args->>'message_id' in (select message_id::text from emails_of_user(of_tenant, of_user))
        or j.args->>'connection_id' in (
            select c.id::text from connections c where c.tenant_id = of_tenant and c.user_id = of_user)
        or j.id in (
            select a.job_id from approvals a
            where a.tenant_id = of_tenant and a.id in (select approval_id from approvals_of_user(of_tenant, of_user)))
        or j.id in (
            select e.job_id from effects e
            where e.tenant_id = of_tenant and (
                e.approval_id in (select approval_id from approvals_of_user(of_tenant, of_user))
                or e.message_id in (select message_id from emails_of_user(of_tenant, of_user))
                or e.connection_id in (
                    select c.id from connections c
                    where c.tenant_id = of_tenant and c.user_id = of_user and c.provider <> 'webhook')))
$function$;

create or replace function named_by_jobs(of_tenant uuid)
 returns table(id uuid)
 language sql
 stable
 set search_path to 'pg_catalog', 'public'
as $function$
    select (j.args->>'message_id')::uuid from jobs j where j.tenant_id = of_tenant and j.args->>'message_id' is not null
    union all
    select (j.args#>>'{base,draft_id}')::uuid from jobs j where j.tenant_id = of_tenant and j.args->>'base' is not null
    union all
    select (action->>'message_id')::uuid from jobs j
    cross join lateral jsonb_path_query(j.args, '$.work.requested[*]') action
    where j.tenant_id = of_tenant and j.kind = 'action.execute' and action->>'message_id' is not null
    union all
    select r.message_id from jobs j
    join triage_results r on r.tenant_id = j.tenant_id and r.job_id = (j.args#>>'{work,triaged,job_id}')::uuid
    where j.tenant_id = of_tenant and j.kind = 'action.execute'
$function$;

create or replace function owners_decided_by(of_tenant uuid, reader uuid)
 returns setof uuid
 language sql
 stable rows 10
as $function$
    select '00000000-0000-0000-0000-000000000000'::uuid
    union
    select reader where reader is not null
    union
    select user_id from delegations where tenant_id = of_tenant and delegate_id = reader
    union
    select id from users where tenant_id = of_tenant and status <> 'active' and reader is not null
$function$;

create or replace function pick_jobs(of_queue text, of_kinds text[], up_to bigint, priorities smallint[], served_last uuid, known_tenants uuid[], capacities integer[], other_capacity integer)
 returns tid[]
 language plpgsql
 set plan_cache_mode to 'force_generic_plan'
 set enable_seqscan to 'off'
 set jit to 'off'
as $function$
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
end $function$;

create or replace function pick_jobs_after(of_queue text, of_kinds text[], up_to bigint, priorities smallint[], tenants uuid[], run_ats timestamptz[], ids uuid[], shares bigint[])
 returns tid[]
 language plpgsql
 set plan_cache_mode to 'force_generic_plan'
 set enable_seqscan to 'off'
 set jit to 'off'
as $function$
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
end $function$;

create or replace function refuse_change()
 returns trigger
 language plpgsql
as $function$
begin
    raise exception 'rows of % are append-only', tg_table_name using errcode = 'restrict_violation';
end $function$;

create or replace function refuse_change_unless_erased()
 returns trigger
 language plpgsql
as $function$
begin
    -- Set for one transaction by `postroom-api admin tenant erase`. The application's role has no right to delete here.
    if tg_op = 'DELETE' and old.tenant_id::text = current_setting('postroom.erased_tenant', true) then
        return old;
    end if;
    raise exception 'rows of % are append-only', tg_table_name using errcode = 'restrict_violation';
end $function$;

create or replace function set_approval_owner()
 returns trigger
 language plpgsql
 set search_path to 'pg_catalog', 'public'
as $function$
begin
    update approvals set owner_id = new.user_id
        where tenant_id = new.tenant_id and id = new.approval_id and owner_id is distinct from new.user_id;
    return null;
end $function$;

create or replace function set_audit_id()
 returns trigger
 language plpgsql
 set search_path to 'pg_catalog'
as $function$
declare
    -- The numbers of batches lie above those of entries, 1000 apart.
    batches constant bigint := 4611686018427387904;
    micros bigint := extract(epoch from new.at) * 1000000;
    place bigint := case when new.seq < batches then new.seq
        else 2305843009213693952 | ((new.seq - batches) / 1000 << 16) end;
begin
    new.id := (lpad(to_hex(micros / 1000), 12, '0') || '7' || lpad(to_hex(micros % 1000), 3, '0')
        -- The highest bit is that of the variant.
        || to_hex(place | (-9223372036854775808)))::uuid;
    return new;
end $function$;

create or replace function settle_audited(places tid[], tenants uuid[], ids uuid[], attempts integer[], workers uuid[], outputs jsonb[], firsts integer[], lasts integer[], request_ids text[], request_hashes integer[], trace_ids text[])
 returns integer[]
 language plpgsql
 set plan_cache_mode to 'force_generic_plan'
 set jit to 'off'
as $function$
#variable_conflict use_variable
declare
    unsettled constant int[] := settle_placed(places, tenants, ids, attempts, workers, outputs);
begin
    insert into audit_batches (
        tenant_id, worker_id, entries, job_ids, attempts, request_ids, request_hashes, trace_ids)
    select tenants[batch.first], workers[batch.first], entry.entries, entry.job_ids, entry.job_attempts,
        case when entry.requests > 0 then entry.requested end, case when entry.requests > 0 then entry.hashes end,
        case when entry.traces > 0 then entry.traced end
    from unnest(firsts, lasts) as batch (first, last)
    cross join lateral (
        select count(*) as entries, array_agg(ids[nth]) as job_ids, array_agg(attempts[nth]) as job_attempts,
            count(request_ids[nth]) as requests, array_agg(request_ids[nth]) as requested,
            array_agg(request_hashes[nth]) as hashes,
            count(trace_ids[nth]) as traces, array_agg(trace_ids[nth]) as traced
        from generate_series(batch.first, batch.last) as nth
        where nth <> all (unsettled)
    ) entry
    where entry.entries > 0;
    return unsettled;
end $function$;

create or replace function settle_placed(places tid[], tenants uuid[], ids uuid[], attempts integer[], workers uuid[], outputs jsonb[])
 returns integer[]
 language plpgsql
 set plan_cache_mode to 'force_generic_plan'
 set jit to 'off'
as $function$
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
end $function$;

create or replace function settle_succeeded(tenants uuid[], ids uuid[], attempts integer[], workers uuid[], outputs jsonb[])
 returns table(tenant_id uuid, id uuid, attempt integer)
 language plpgsql
 set plan_cache_mode to 'force_generic_plan'
 set enable_seqscan to 'off'
 set jit to 'off'
as $function$
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
end $function$;

create or replace function start_picked(picked tid[], worker uuid, lease interval)
 returns table(place tid, id uuid, tenant_id uuid, kind text, queue text, priority smallint, args jsonb, attempt integer, errors integer, crashes integer, max_attempts integer, run_at timestamptz, created_at timestamptz, started_at timestamptz, request_id text, traceparent text, parent_id uuid, children integer)
 language plpgsql
 set plan_cache_mode to 'force_generic_plan'
 set enable_seqscan to 'off'
 set enable_indexscan to 'off'
 set enable_bitmapscan to 'off'
 set jit to 'off'
as $function$
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
end $function$;

-- 0001_queue

-- Column order and fill factor were measured (BENCHMARKS.md): 31 µs of server time and 1,520 bytes of WAL per job before.
-- The columns that a claim changes stand last, because an update that stays on its page logs only from the first changed
-- byte to the last; pages are filled to 40 %, so that the new version of every claimed row fits on the same page.
create table jobs (
    tenant_id uuid not null,
    id uuid not null,
    created_at timestamptz not null default now(),
    priority smallint not null default 3,
    max_attempts integer not null,
    max_crashes integer not null default 3,
    children integer not null default 0,
    awaits_children boolean not null default false,
    kind text not null,
    queue text not null,
    args jsonb not null,
    request_id text,
    client_request_id text,
    traceparent text,
    dedupe_key text,
    parent_id uuid,
    last_error_code text,
    last_error_message text,
    progress real,
    progress_note text,
    cancel_requested_at timestamptz,
    run_at timestamptz not null default now(),
    errors integer not null default 0,
    crashes integer not null default 0,
    attempt integer not null default 0,
    state text not null,
    worker_id uuid,
    lease_until timestamptz,
    started_at timestamptz,
    constraint jobs_pkey primary key (tenant_id, id),
    constraint jobs_check check ((state in ('available', 'scheduled', 'running', 'retryable')) and ((state = 'running')
        = (lease_until is not null)) and ((state = 'running') = (worker_id is not null)) and ((priority >= 1) and
        (priority <= 4)) and ((max_attempts >= 1) and (max_attempts <= 100)) and ((max_crashes >= 1) and (max_crashes <=
        100)) and (((length(dedupe_key) >= 1) and (length(dedupe_key) <= 255)) is not false) and (((progress >=
        (0)::float8) and (progress <= (1)::float8)) is not false) and ((length(progress_note) <= 200) is not false))
) with (
    fillfactor = 40,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 200000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 50000,
    autovacuum_vacuum_cost_delay = 0
);
create index jobs_awaiting on jobs (id) where awaits_children;
create index jobs_cancel on jobs (worker_id) where (cancel_requested_at is not null);
create index jobs_claim on jobs (queue, priority, tenant_id, run_at, id) where (state = 'available');
create unique index jobs_dedupe on jobs (tenant_id, kind, dedupe_key) where ((dedupe_key is not null) and (state in
    ('available', 'scheduled', 'retryable')));
create index jobs_due on jobs (run_at) where (state in ('scheduled', 'retryable'));
create index jobs_lease on jobs (lease_until) where (lease_until is not null);
create index jobs_parent on jobs (parent_id) where (parent_id is not null);

create table finished_jobs (
    id uuid not null,
    tenant_id uuid not null,
    kind text not null,
    queue text not null,
    state text not null,
    priority smallint not null,
    attempt integer not null,
    errors integer not null,
    crashes integer not null,
    max_attempts integer not null,
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
    children integer not null default 0,
    constraint finished_jobs_pkey primary key (tenant_id, id),
    constraint finished_jobs_check check ((state = 'succeeded') = (error_code is null)),
    constraint finished_jobs_state_check check (state in ('succeeded', 'discarded', 'cancelled'))
) with (
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_insert_scale_factor = 0.05
);
create index finished_jobs_discarded on finished_jobs (tenant_id, id) where (state = 'discarded');
create index finished_jobs_discarded_drafts on finished_jobs (finished_at) where ((state = 'discarded') and (kind =
    'draft.generate'));
create index finished_jobs_finished_at on finished_jobs using brin (finished_at) with (pages_per_range='32',
    autosummarize='true');
create index finished_jobs_parent on finished_jobs (parent_id) where (parent_id is not null);

-- Attempts that did not succeed: why the job was retried, handed back or given up. The attempt that succeeded is in
-- finished_jobs, so a job that succeeds at once writes nothing here.
create table job_attempts (
    job_id uuid not null,
    attempt integer not null,
    tenant_id uuid not null,
    worker_id uuid,
    started_at timestamptz,
    ended_at timestamptz not null default now(),
    outcome text not null,
    error_code text,
    error_message text,
    constraint job_attempts_pkey primary key (job_id, attempt),
    constraint job_attempts_outcome_check check (outcome in ('retried', 'discarded', 'cancelled', 'interrupted',
        'snoozed', 'waiting', 'crashed'))
);

-- The part of a job's event log that cannot be derived from its row and its attempts.
create table job_events (
    tenant_id uuid not null,
    job_id uuid not null,
    attempt integer not null,
    seq integer not null,
    at timestamptz not null default now(),
    kind text not null,
    progress real,
    note text,
    constraint job_events_pkey primary key (tenant_id, job_id, attempt, seq),
    constraint job_events_kind_check check (kind in ('progress', 'cancel_requested', 'retried')),
    constraint job_events_note_check check (length(note) <= 200)
);

-- Maps the caller's name for a piece of work to its job. Kept longer than the job's row, so that work is not repeated.
create table job_keys (
    tenant_id uuid not null,
    kind text not null,
    external_id text not null,
    fingerprint bytea not null,
    job_id uuid not null,
    created_at timestamptz not null default now(),
    constraint job_keys_pkey primary key (tenant_id, kind, external_id),
    constraint job_keys_external_id_check check ((length(external_id) >= 1) and (length(external_id) <= 255)),
    constraint job_keys_fingerprint_check check (octet_length(fingerprint) = 32)
);

-- The most jobs that may run at the same time over all workers. `name` is a queue, a kind, a tenant's id, or '*' for
-- every tenant that has no limit of its own.
create table queue_limits (
    scope text not null,
    name text not null,
    max_running integer not null,
    constraint queue_limits_pkey primary key (scope, name),
    constraint queue_limits_max_running_check check ((max_running >= 0) and (max_running <= 100000)),
    constraint queue_limits_name_check check ((length(name) >= 1) and (length(name) <= 100)),
    constraint queue_limits_scope_check check (scope in ('queue', 'kind', 'tenant'))
);

-- Queues from which no worker claims. Resuming deletes the row.
create table queue_pauses (
    queue text not null,
    paused_at timestamptz not null default now(),
    reason text not null,
    constraint queue_pauses_pkey primary key (queue),
    constraint queue_pauses_queue_check check ((length(queue) >= 1) and (length(queue) <= 100)),
    constraint queue_pauses_reason_check check (length(reason) <= 500)
);

-- The latest job counts, taken by one worker for all.
create table queue_samples (
    queue text not null,
    state text not null,
    jobs bigint not null,
    oldest_run_at timestamptz,
    sampled_at timestamptz not null default now(),
    constraint queue_samples_pkey primary key (queue, state)
);

-- Worker processes that sent a heartbeat recently. For people; leases never depend on it.
create table workers (
    id uuid not null,
    host text not null,
    queues text[] not null,
    slots integer not null,
    running integer not null,
    stopping boolean not null default false,
    version text not null,
    started_at timestamptz not null,
    seen_at timestamptz not null default now(),
    constraint workers_pkey primary key (id)
);

-- Periodic duties, one row each. A worker claims a duty by updating its row.
create table maintenance_duties (
    name text not null,
    due_at timestamptz not null,
    last_run_at timestamptz,
    last_worker_id uuid,
    caught_up_at timestamptz,
    constraint maintenance_duties_pkey primary key (name)
);

-- 0002_people_and_access

create table tenants (
    id uuid not null,
    slug text not null,
    status text not null default 'active',
    limit_before_pause integer,
    trust_mode text not null default 'training_wheels',
    four_eyes boolean not null default false,
    require_second_factor boolean not null default false,
    sending_disabled boolean not null default false,
    unknown_sends text not null default 'ask',
    quote_original boolean not null default false,
    triage_wait_seconds integer not null default 86400,
    draft_wait_seconds integer not null default 259200,
    on_outage text not null default 'wait',
    fallback_after_seconds integer not null default 3600,
    answer_cache_seconds integer,
    prompt_capture_days integer,
    email_retention_days integer,
    created_at timestamptz not null default now(),
    constraint tenants_pkey primary key (id),
    constraint tenants_slug_key unique (slug),
    constraint tenants_answer_cache_seconds_check check ((answer_cache_seconds >= 60) and (answer_cache_seconds <=
        86400)),
    constraint tenants_draft_wait_seconds_check check ((draft_wait_seconds >= 1) and (draft_wait_seconds <= 2592000)),
    constraint tenants_email_retention_days_check check ((email_retention_days >= 7) and (email_retention_days <= 3650)),
    constraint tenants_fallback_after_seconds_check check ((fallback_after_seconds >= 1) and (fallback_after_seconds <=
        2592000)),
    constraint tenants_limit_before_pause_check check ((limit_before_pause >= 1) and (limit_before_pause <= 100000)),
    constraint tenants_on_outage_check check (on_outage in ('wait', 'fallback_after')),
    constraint tenants_prompt_capture_days_check check ((prompt_capture_days >= 1) and (prompt_capture_days <= 14)),
    constraint tenants_slug_check check (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    constraint tenants_status_check check (status in ('trial', 'active', 'paused', 'closed')),
    constraint tenants_triage_wait_seconds_check check ((triage_wait_seconds >= 1) and (triage_wait_seconds <= 2592000)),
    constraint tenants_trust_mode_check check (trust_mode in ('training_wheels', 'supervised', 'autonomous')),
    constraint tenants_unknown_sends_check check (unknown_sends in ('ask', 'resend'))
);

create table users (
    tenant_id uuid not null,
    id uuid not null,
    email text not null,
    role text not null,
    status text not null default 'active',
    password_hash text not null,
    timezone text not null default 'UTC',
    follow_up_days smallint,
    follow_up text not null default 'item',
    digest_at time without time zone,
    digest_by_email boolean not null default false,
    next_digest_at timestamptz,
    created_at timestamptz not null default now(),
    constraint users_pkey primary key (tenant_id, id),
    constraint users_tenant_id_fkey foreign key (tenant_id) references tenants(id),
    constraint users_digest_check check ((digest_at is null) = (next_digest_at is null)),
    constraint users_email_check check ((length(email) >= 3) and (length(email) <= 320)),
    constraint users_follow_up_check check (follow_up in ('item', 'draft')),
    constraint users_follow_up_days_check check ((follow_up_days >= 1) and (follow_up_days <= 90)),
    constraint users_role_check check (role in ('owner', 'admin', 'operator', 'member', 'auditor')),
    constraint users_status_check check (status in ('active', 'suspended', 'deleted'))
);
create unique index users_email_key on users (tenant_id, lower(email));
create index users_inactive on users (tenant_id, id) where (status <> 'active');
create index users_next_digest on users (next_digest_at) where (next_digest_at is not null);

create table invites (
    tenant_id uuid not null,
    id uuid not null,
    email text not null,
    role text not null,
    token_hash bytea not null,
    invited_by uuid,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    accepted_at timestamptz,
    revoked_at timestamptz,
    constraint invites_pkey primary key (tenant_id, id),
    constraint invites_token_hash_key unique (token_hash),
    constraint invites_tenant_id_fkey foreign key (tenant_id) references tenants(id),
    constraint invites_check check ((accepted_at is null) or (revoked_at is null)),
    constraint invites_email_check check ((length(email) >= 3) and (length(email) <= 320)),
    constraint invites_role_check check (role in ('owner', 'admin', 'operator', 'member', 'auditor')),
    constraint invites_token_hash_check check (octet_length(token_hash) = 32)
);
create unique index invites_pending_key on invites (tenant_id, lower(email)) where ((accepted_at is null) and
    (revoked_at is null));

-- Failed logins of the last minutes, per account and per address. Maintenance deletes old rows.
create table login_failures (
    subject bytea not null,
    at timestamptz not null default now(),
    constraint login_failures_subject_check check (octet_length(subject) = 32)
);
create index login_failures_at on login_failures (at);
create index login_failures_subject on login_failures (subject, at);

-- A session is a family of token generations. Only this row says whether it is alive: with a flag per token, a
-- descendant of a revoked family could be refreshed.
create table sessions (
    tenant_id uuid not null,
    id uuid not null,
    user_id uuid not null,
    auth_method text not null,
    created_at timestamptz not null default now(),
    authenticated_at timestamptz not null default now(),
    last_used_at timestamptz not null default now(),
    audit_read_at timestamptz,
    expires_at timestamptz not null,
    idle_timeout interval not null,
    idle_expires_at timestamptz not null,
    revoked_at timestamptz,
    revoke_reason text,
    ip inet,
    user_agent text,
    constraint sessions_pkey primary key (tenant_id, id),
    constraint sessions_id_key unique (id),
    constraint sessions_tenant_id_user_id_fkey foreign key (tenant_id, user_id) references users(tenant_id, id),
    constraint sessions_auth_method_check check (auth_method in ('password', 'invite', 'dev', 'oidc')),
    constraint sessions_check check ((revoked_at is null) = (revoke_reason is null)),
    constraint sessions_idle_timeout_check check (idle_timeout > '00:00:00'::interval),
    constraint sessions_revoke_reason_check check (revoke_reason in ('logout', 'revoked', 'reuse', 'excess', 'admin',
        'password', 'second_factor')),
    constraint sessions_user_agent_check check (length(user_agent) <= 256)
) with (
    fillfactor = 80
);
create index sessions_of_user on sessions (tenant_id, user_id);

create table session_tokens (
    token_hash bytea not null,
    session_id uuid not null,
    generation integer not null,
    issued_at timestamptz not null default now(),
    first_used_at timestamptz,
    superseded_at timestamptz,
    grace_until timestamptz,
    retired_at timestamptz,
    constraint session_tokens_pkey primary key (token_hash),
    constraint session_tokens_session_id_fkey foreign key (session_id) references sessions(id) on delete cascade,
    constraint session_tokens_check check ((superseded_at is null) = (grace_until is null)),
    constraint session_tokens_generation_check check (generation > 0),
    constraint session_tokens_token_hash_check check (octet_length(token_hash) = 32)
);
create index session_tokens_session on session_tokens (session_id, generation);

-- One-time links with which a user sets a new password. Created by an owner or an admin; we send no email of our own.
create table password_resets (
    tenant_id uuid not null,
    user_id uuid not null,
    token_hash bytea not null,
    created_by uuid,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    constraint password_resets_pkey primary key (tenant_id, user_id),
    constraint password_resets_token_hash_key unique (token_hash),
    constraint password_resets_tenant_id_user_id_fkey foreign key (tenant_id, user_id) references users(tenant_id, id),
    constraint password_resets_token_hash_check check (octet_length(token_hash) = 32)
);

-- Second factors: the codes of an authenticator app (RFC 6238), and recovery codes for when the app is lost.
create table second_factors (
    tenant_id uuid not null,
    user_id uuid not null,
    secret bytea not null,
    key_id text not null,
    created_at timestamptz not null default now(),
    confirmed_at timestamptz,
    last_step bigint not null default 0,
    constraint second_factors_pkey primary key (tenant_id, user_id),
    constraint second_factors_tenant_id_user_id_fkey foreign key (tenant_id, user_id) references users(tenant_id, id)
);

-- Codes that were not used yet; using one deletes it.
create table recovery_codes (
    tenant_id uuid not null,
    user_id uuid not null,
    code_hash bytea not null,
    constraint recovery_codes_pkey primary key (tenant_id, user_id, code_hash),
    constraint recovery_codes_tenant_id_user_id_fkey foreign key (tenant_id, user_id) references
        second_factors(tenant_id, user_id) on delete cascade,
    constraint recovery_codes_code_hash_check check (octet_length(code_hash) = 32)
);

-- Sign-in by others: a tenant's identity provider, whose tokens open sessions.
create table identity_providers (
    tenant_id uuid not null,
    issuer text not null,
    audience text not null,
    jwks_url text,
    keys jsonb,
    fetched_at timestamptz,
    asked_at timestamptz,
    wanted_at timestamptz,
    last_error text,
    created_at timestamptz not null default now(),
    constraint identity_providers_pkey primary key (tenant_id),
    constraint identity_providers_tenant_id_fkey foreign key (tenant_id) references tenants(id),
    constraint identity_providers_audience_check check ((length(audience) >= 1) and (length(audience) <= 500)),
    constraint identity_providers_check check ((jwks_url is not null) or (keys is not null)),
    constraint identity_providers_issuer_check check ((length(issuer) >= 1) and (length(issuer) <= 500)),
    constraint identity_providers_jwks_url_check check ((length(jwks_url) >= 1) and (length(jwks_url) <= 500))
);

-- Tokens that have opened a session: each does so once. Maintenance deletes those that have expired.
create table exchanged_tokens (
    tenant_id uuid not null,
    token_hash bytea not null,
    expires_at timestamptz not null,
    constraint exchanged_tokens_pkey primary key (tenant_id, token_hash),
    constraint exchanged_tokens_tenant_id_fkey foreign key (tenant_id) references tenants(id),
    constraint exchanged_tokens_token_hash_check check (octet_length(token_hash) = 32)
);
create index exchanged_tokens_expires_at on exchanged_tokens (expires_at);

-- What programs authenticate with. A key is an identity of its own: it outlives its creator's session and account.
create table api_keys (
    tenant_id uuid not null,
    id uuid not null,
    name text not null,
    scopes text[] not null,
    address_ranges cidr[],
    created_by uuid,
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    audit_read_at timestamptz,
    constraint api_keys_pkey primary key (tenant_id, id),
    constraint api_keys_id_key unique (id),
    constraint api_keys_tenant_id_fkey foreign key (tenant_id) references tenants(id),
    constraint api_keys_address_ranges_check check ((cardinality(address_ranges) >= 1) and (cardinality(address_ranges)
        <= 20)),
    constraint api_keys_name_check check ((length(name) >= 1) and (length(name) <= 100)),
    constraint api_keys_scopes_known check ((cardinality(scopes) > 0) and (scopes <@ array['jobs:read', 'jobs:write',
        'rules:read', 'rules:write', 'approvals:read', 'approvals:read_all', 'records:read', 'records:write',
        'history:read', 'audit:read']))
) with (
    fillfactor = 80
);
create index api_keys_live on api_keys (tenant_id, created_at) where (revoked_at is null);

-- The tokens of a key: the newest, and those that were rotated away and are valid for a while.
create table api_key_tokens (
    token_hash bytea not null,
    tenant_id uuid not null,
    api_key_id uuid not null,
    last4 text not null,
    issued_at timestamptz not null default now(),
    valid_until timestamptz,
    constraint api_key_tokens_pkey primary key (token_hash),
    constraint api_key_tokens_tenant_id_api_key_id_fkey foreign key (tenant_id, api_key_id) references
        api_keys(tenant_id, id) on delete cascade,
    constraint api_key_tokens_last4_check check (length(last4) = 4),
    constraint api_key_tokens_token_hash_check check (octet_length(token_hash) = 32)
);
create unique index api_key_tokens_newest on api_key_tokens (tenant_id, api_key_id) where (valid_until is null);

-- Who may decide another user's drafts.
create table delegations (
    tenant_id uuid not null,
    user_id uuid not null,
    delegate_id uuid not null,
    created_at timestamptz not null default now(),
    constraint delegations_pkey primary key (tenant_id, user_id, delegate_id),
    constraint delegations_tenant_id_delegate_id_fkey foreign key (tenant_id, delegate_id) references users(tenant_id,
        id),
    constraint delegations_tenant_id_user_id_fkey foreign key (tenant_id, user_id) references users(tenant_id, id),
    constraint delegations_check check (user_id <> delegate_id)
);
create index delegations_delegate on delegations (tenant_id, delegate_id);

-- Idempotency keys. The answer is stored in the transaction that did the work, and replayed to repeated requests.
create table request_keys (
    tenant_id uuid not null,
    actor_id uuid not null,
    operation text not null,
    key text not null,
    fingerprint bytea not null,
    status smallint,
    location text,
    body bytea,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    constraint request_keys_pkey primary key (tenant_id, actor_id, operation, key),
    constraint request_keys_fingerprint_check check (octet_length(fingerprint) = 32),
    constraint request_keys_key_check check ((length(key) >= 1) and (length(key) <= 255))
);
create index request_keys_expires_at on request_keys (expires_at);

-- 0003_audit

create table audit_entries (
    tenant_id uuid not null,
    xid xid8 not null default pg_current_xact_id(),
    seq bigint not null,
    id uuid not null,
    at timestamptz not null default now(),
    actor_kind text not null,
    actor_id uuid,
    session_id uuid,
    action text not null,
    resource_kind text not null,
    resource_id text,
    request_id text,
    trace_id text,
    job_id uuid,
    attempt integer,
    outcome text not null,
    dry_run boolean not null default false,
    error_code text,
    detail jsonb not null default '{}'::jsonb,
    constraint audit_entries_pkey primary key (tenant_id, xid, seq),
    constraint audit_entries_actor_kind_check check (actor_kind in ('user', 'api_key', 'worker', 'system', 'cli')),
    constraint audit_entries_check check ((resource_id is not null) or ((resource_kind = 'job') and (job_id is not
        null))),
    constraint audit_entries_outcome_check check (outcome in ('ok', 'denied', 'failed'))
);
create index audit_entries_request on audit_entries (tenant_id, request_id, id) where (request_id is not null);
create trigger audit_entries_append_only before delete or update on audit_entries for each row execute function
    refuse_change();
alter table audit_entries enable always trigger audit_entries_append_only;
create trigger audit_entries_id before insert on audit_entries for each row when ((new.xid = pg_current_xact_id()))
    execute function set_audit_id();
create trigger audit_entries_no_truncate before truncate on audit_entries for each statement execute function
    refuse_change();
alter table audit_entries enable always trigger audit_entries_no_truncate;

-- Successes are audited by the batch: a row for each tenant of a settling statement, read as an entry for each job.
-- A worker settles plain successes by the hundred. Their entries differ in the job, its attempt, its request and its trace,
-- and a row with its index entries for each was a third of what a finished job wrote.
create table audit_batches (
    tenant_id uuid not null,
    xid xid8 not null default pg_current_xact_id(),
    seq bigint not null,
    id uuid not null,
    at timestamptz not null default now(),
    worker_id uuid not null,
    entries integer not null,
    job_ids uuid[] not null,
    attempts integer[] not null,
    request_ids text[],
    request_hashes integer[],
    trace_ids text[],
    constraint audit_batches_pkey primary key (tenant_id, xid, seq),
    constraint audit_batches_check check (((entries >= 1) and (entries <= 1000)) and (cardinality(job_ids) = entries)
        and (cardinality(attempts) = entries) and ((cardinality(request_ids) = entries) is not false) and
        ((cardinality(trace_ids) = entries) is not false) and (not (cardinality(request_hashes) is distinct from
        cardinality(request_ids))))
);
create index audit_batches_requests on audit_batches using gin (request_hashes) with (gin_pending_list_limit='256')
    where (request_hashes is not null);
create trigger audit_batches_append_only before delete or update on audit_batches for each row execute function
    refuse_change();
alter table audit_batches enable always trigger audit_batches_append_only;
create trigger audit_batches_id before insert on audit_batches for each row when ((new.xid = pg_current_xact_id()))
    execute function set_audit_id();
create trigger audit_batches_no_truncate before truncate on audit_batches for each statement execute function
    refuse_change();
alter table audit_batches enable always trigger audit_batches_no_truncate;

-- Seals over the audit log: each covers the entries of a tenant between its predecessor's last and its own last.
create table audit_seals (
    tenant_id uuid not null,
    position bigint not null,
    last_xid xid8 not null,
    last_seq bigint not null,
    entries integer not null,
    root bytea not null,
    hash bytea not null,
    number bigint not null,
    chain bytea not null,
    sealed_at timestamptz not null default now(),
    constraint audit_seals_pkey primary key (tenant_id, "position"),
    constraint audit_seals_number_key unique (number),
    constraint audit_seals_chain_check check (octet_length(chain) = 32),
    constraint audit_seals_entries_check check (entries > 0),
    constraint audit_seals_hash_check check (octet_length(hash) = 32),
    constraint audit_seals_number_check check (number > 0),
    constraint audit_seals_position_check check ("position" > 0),
    constraint audit_seals_root_check check (octet_length(root) = 32)
);
create trigger audit_seals_append_only before delete or update on audit_seals for each row execute function
    refuse_change();
alter table audit_seals enable always trigger audit_seals_append_only;
create trigger audit_seals_no_truncate before truncate on audit_seals for each statement execute function
    refuse_change();
alter table audit_seals enable always trigger audit_seals_no_truncate;

-- The ids that clients gave their requests (X-Request-Id) may hold anybody's words, and audit entries stay for good: they
-- name a request by our id, and the client's stands here until its user or tenant is erased. No seal covers it. A request
-- that writes entries in several statements has a row for each, so that none of its transactions waits for another.
create table client_request_ids (
    tenant_id uuid not null,
    request_id text not null,
    id uuid not null default gen_random_uuid(),
    client_request_id text not null,
    actor_id uuid,
    constraint client_request_ids_pkey primary key (tenant_id, request_id, id)
);
create index client_request_ids_actor on client_request_ids (tenant_id, actor_id) where (actor_id is not null);
create index client_request_ids_name on client_request_ids (tenant_id, client_request_id);

create table history_entries (
    tenant_id uuid not null,
    id uuid not null,
    at timestamptz not null default now(),
    verb text not null,
    object_kind text not null,
    object_id uuid not null,
    job_id uuid,
    rationale text not null,
    user_id uuid,
    constraint history_entries_pkey primary key (tenant_id, id)
);
create index history_entries_object on history_entries (tenant_id, object_id, id);
create trigger history_entries_append_only before delete or update on history_entries for each row execute function
    refuse_change_unless_erased();
alter table history_entries enable always trigger history_entries_append_only;
create trigger history_entries_no_truncate before truncate on history_entries for each statement execute function
    refuse_change();
alter table history_entries enable always trigger history_entries_no_truncate;

-- 0004_mailboxes_and_messages

-- Users' accounts at mail servers, calendars and webhooks. Their secrets are sealed with keys that only we hold.
create table connections (
    tenant_id uuid not null,
    id uuid not null,
    user_id uuid not null,
    provider text not null,
    address text not null,
    display_name text,
    settings jsonb not null,
    secret bytea not null,
    key_id text not null,
    status text not null default 'active',
    last_error text,
    sends_per_hour integer not null default 60,
    max_recipients integer not null default 20,
    version integer not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint connections_pkey primary key (tenant_id, id),
    constraint connections_tenant_id_fkey foreign key (tenant_id) references tenants(id),
    constraint connections_tenant_id_user_id_fkey foreign key (tenant_id, user_id) references users(tenant_id, id),
    constraint connections_max_recipients_check check ((max_recipients >= 1) and (max_recipients <= 1000)),
    constraint connections_provider_check check (provider in ('imap_smtp', 'caldav', 'webhook')),
    constraint connections_sends_per_hour_check check ((sends_per_hour >= 1) and (sends_per_hour <= 10000)),
    constraint connections_status_check check (status in ('active', 'degraded', 'reauth_required', 'revoked'))
);
create unique index connections_address_key on connections (tenant_id, user_id, lower(address)) where (status <>
    'revoked');

-- Webhooks that are called when jobs end.
create table subscriptions (
    tenant_id uuid not null,
    connection_id uuid not null,
    events text[] not null,
    status text not null default 'active',
    last_error text,
    position_xid xid8 not null,
    position_seq bigint not null,
    delivery_job_id uuid,
    delivered bigint not null default 0,
    last_delivered_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint subscriptions_pkey primary key (tenant_id, connection_id),
    constraint subscriptions_tenant_id_connection_id_fkey foreign key (tenant_id, connection_id) references
        connections(tenant_id, id),
    constraint subscriptions_delivered_check check (delivered >= 0),
    constraint subscriptions_events_known check ((cardinality(events) > 0) and (events <@ array['job.succeeded',
        'job.discarded', 'job.cancelled'])),
    constraint subscriptions_status_check check (status in ('active', 'suspended', 'ended'))
) with (
    fillfactor = 70
);
create index subscriptions_active on subscriptions (tenant_id, connection_id) where (status = 'active');

-- Watched mailboxes, one row per watched connection. One worker at a time holds its lease, so that a mail server sees one
-- session of ours per account and no email is read twice at the same time.
create table mailbox_watches (
    tenant_id uuid not null,
    connection_id uuid not null,
    since timestamptz not null,
    lease_worker uuid,
    lease_until timestamptz,
    epoch bigint not null default 0,
    next_check_at timestamptz not null default now(),
    failures integer not null default 0,
    last_error text,
    created_at timestamptz not null default now(),
    constraint mailbox_watches_pkey primary key (tenant_id, connection_id),
    constraint mailbox_watches_tenant_id_connection_id_fkey foreign key (tenant_id, connection_id) references
        connections(tenant_id, id),
    constraint mailbox_watches_failures_check check (failures >= 0)
);
create index mailbox_watches_due on mailbox_watches (next_check_at);

-- Which folders are watched, and how far each was read.
create table watched_folders (
    tenant_id uuid not null,
    connection_id uuid not null,
    folder text not null,
    uid_validity bigint,
    last_uid bigint not null default 0,
    checked_at timestamptz,
    last_email_at timestamptz,
    emails bigint not null default 0,
    skipped bigint not null default 0,
    broken_uid bigint,
    broken_tries integer,
    last_error text,
    created_at timestamptz not null default now(),
    constraint watched_folders_pkey primary key (tenant_id, connection_id, folder),
    constraint watched_folders_tenant_id_connection_id_fkey foreign key (tenant_id, connection_id) references
        mailbox_watches(tenant_id, connection_id) on delete cascade,
    constraint watched_folders_broken_check check ((broken_uid is null) = (broken_tries is null)),
    constraint watched_folders_broken_tries_check check (broken_tries > 0),
    constraint watched_folders_broken_uid_check check (broken_uid > 0),
    constraint watched_folders_last_uid_check check (last_uid >= 0),
    constraint watched_folders_uid_validity_check check (uid_validity >= 0)
);

-- What was read from a mailbox, by content. UIDs lose their meaning when a server changes UIDVALIDITY; by its content an
-- email that is read again gets no second job.
create table fetched_emails (
    tenant_id uuid not null,
    connection_id uuid not null,
    content_hash bytea not null,
    message_id uuid not null,
    fetched_at timestamptz not null default now(),
    constraint fetched_emails_pkey primary key (tenant_id, connection_id, content_hash),
    constraint fetched_emails_tenant_id_connection_id_fkey foreign key (tenant_id, connection_id) references
        connections(tenant_id, id),
    constraint fetched_emails_content_hash_check check (octet_length(content_hash) = 32)
);
create index fetched_emails_fetched_at on fetched_emails (fetched_at);

-- Backfills of older email: how far their jobs have come.
create table backfills (
    tenant_id uuid not null,
    job_id uuid not null,
    uid_validity bigint not null,
    last_uid bigint not null,
    emails bigint not null,
    enqueued bigint not null,
    skipped bigint not null,
    constraint backfills_pkey primary key (tenant_id, job_id),
    constraint backfills_tenant_id_fkey foreign key (tenant_id) references tenants(id),
    constraint backfills_last_uid_check check (last_uid >= 0),
    constraint backfills_uid_validity_check check (uid_validity >= 0)
);

create table messages (
    tenant_id uuid not null,
    id uuid not null,
    format text not null,
    source bytea not null,
    content_hash bytea not null,
    received_at timestamptz not null default now(),
    constraint messages_pkey primary key (tenant_id, id),
    constraint messages_tenant_id_fkey foreign key (tenant_id) references tenants(id),
    constraint messages_content_hash_check check (octet_length(content_hash) = 32),
    constraint messages_format_check check (format in ('rfc822', 'envelope'))
);
create index messages_content_hash on messages (tenant_id, content_hash);
create index messages_received_at on messages (tenant_id, received_at, id);

-- Messages that a tenant's own users wrote in a thread, one row per message that such a message refers to. A draft for a
-- thread that its user has written to since is not sent.
create table own_messages (
    tenant_id uuid not null,
    message_id uuid not null,
    refers_to text not null,
    answers boolean not null,
    user_id uuid not null,
    sent_at timestamptz not null,
    constraint own_messages_pkey primary key (tenant_id, refers_to, message_id, user_id),
    constraint own_messages_tenant_id_message_id_fkey foreign key (tenant_id, message_id) references messages(tenant_id,
        id)
);
create index own_messages_message on own_messages (tenant_id, message_id);

-- Which emails refer to which, of users and of everybody else. Kept for all emails, because the Sent folder may be read
-- after the answer to what is in it.
create table thread_answers (
    tenant_id uuid not null,
    refers_to text not null,
    message_id uuid not null,
    sent_at timestamptz not null,
    constraint thread_answers_pkey primary key (tenant_id, refers_to, message_id),
    constraint thread_answers_tenant_id_message_id_fkey foreign key (tenant_id, message_id) references
        messages(tenant_id, id) on delete cascade
);
create index thread_answers_message on thread_answers (tenant_id, message_id);

-- 0005_triage_and_approvals

create table rule_sets (
    tenant_id uuid not null,
    version integer not null,
    yaml text not null,
    active boolean not null,
    created_by uuid not null,
    created_at timestamptz not null default now(),
    constraint rule_sets_pkey primary key (tenant_id, version),
    constraint rule_sets_tenant_id_fkey foreign key (tenant_id) references tenants(id),
    constraint rule_sets_version_check check (version > 0)
);
create unique index rule_sets_active_key on rule_sets (tenant_id) where active;

create table triage_results (
    tenant_id uuid not null,
    job_id uuid not null,
    message_id uuid not null,
    content_hash bytea not null,
    ruleset_version integer not null,
    mode text not null,
    forced boolean not null,
    prompt_version text,
    category text not null,
    disposition text not null,
    priority text not null,
    sla text not null,
    confidence real not null,
    rationale text not null,
    source text not null,
    rules_applied text[] not null,
    injection_suspected boolean not null,
    degraded boolean not null,
    outage boolean not null default false,
    thread_status text not null,
    owner_id uuid,
    sender text,
    subject text,
    created_at timestamptz not null default now(),
    constraint triage_results_pkey primary key (tenant_id, job_id),
    constraint triage_results_tenant_id_message_id_fkey foreign key (tenant_id, message_id) references
        messages(tenant_id, id),
    constraint triage_results_category_check check (category in ('needs_response', 'needs_approval', 'fyi',
        'scheduling', 'task', 'newsletter', 'notification', 'cold', 'spam', 'unknown')),
    constraint triage_results_confidence_check check ((confidence >= (0)::float8) and (confidence <= (1)::float8)),
    constraint triage_results_content_hash_check check (octet_length(content_hash) = 32),
    constraint triage_results_disposition_check check (disposition in ('ignore', 'notify', 'respond')),
    constraint triage_results_mode_check check (mode in ('rules_then_llm', 'rules_only', 'llm_only')),
    constraint triage_results_priority_check check (priority in ('low', 'medium', 'high', 'urgent')),
    constraint triage_results_sender_check check (char_length(sender) <= 320),
    constraint triage_results_sla_check check (sla in ('<24h', '<72h', 'none')),
    constraint triage_results_source_check check (source in ('rule', 'learned', 'llm', 'fallback', 'guard')),
    constraint triage_results_subject_check check (char_length(subject) <= 200),
    constraint triage_results_thread_status_check check (thread_status in ('TO_REPLY', 'AWAITING', 'FYI', 'ACTIONED'))
);
create index triage_results_content on triage_results (tenant_id, content_hash, ruleset_version, mode, created_at);
create index triage_results_message on triage_results (tenant_id, message_id);
create unique index triage_results_once_key on triage_results (tenant_id, content_hash, ruleset_version, mode) where
    ((not forced) and (not outage));

create table approvals (
    tenant_id uuid not null,
    id uuid not null,
    owner_id uuid,
    kind text not null,
    title text not null,
    summary text not null,
    actions text[] not null,
    source text not null,
    payload jsonb not null,
    payload_hash bytea not null,
    risk text not null,
    status text not null default 'proposed',
    version integer not null default 1,
    rationale text,
    confidence real not null,
    job_id uuid not null,
    requested_by uuid,
    key_creator uuid,
    edited_by uuid,
    decided_by uuid,
    decided_at timestamptz,
    expires_at timestamptz not null,
    execution_job_id uuid,
    executed_at timestamptz,
    failure_code text,
    failure_message text,
    created_at timestamptz not null default now(),
    constraint approvals_pkey primary key (tenant_id, id),
    constraint approvals_tenant_id_fkey foreign key (tenant_id) references tenants(id),
    constraint approvals_confidence_check check ((confidence >= (0)::float8) and (confidence <= (1)::float8)),
    constraint approvals_payload_hash_check check (octet_length(payload_hash) = 32),
    constraint approvals_risk_check check (risk in ('low', 'medium', 'high', 'critical')),
    constraint approvals_status_check check (status in ('proposed', 'editing', 'approved', 'executing', 'executed',
        'failed', 'rejected', 'expired', 'undoing', 'undone')),
    constraint approvals_version_check check (version > 0)
);
create index approvals_expiring on approvals (expires_at) where (status = 'proposed');
create index approvals_in_progress on approvals (decided_at) where (status in ('editing', 'approved', 'executing',
    'undoing'));
create index approvals_kept on approvals (tenant_id, created_at) where (payload <> '{}'::jsonb);
create index approvals_open on approvals (tenant_id, created_at, id) where (status = 'proposed');
create index approvals_owner on approvals (tenant_id, coalesce(owner_id, '00000000-0000-0000-0000-000000000000'::uuid),
    id);

create table proposed_actions (
    tenant_id uuid not null,
    id uuid not null,
    job_id uuid not null,
    message_id uuid not null,
    type text not null,
    payload jsonb not null,
    risk text not null,
    gate text not null,
    requires_confirmation boolean not null,
    confidence real not null,
    rationale text,
    fingerprint bytea not null,
    approval_id uuid,
    created_at timestamptz not null default now(),
    constraint proposed_actions_pkey primary key (tenant_id, id),
    constraint proposed_actions_fingerprint_key unique (tenant_id, job_id, fingerprint),
    constraint proposed_actions_tenant_id_approval_id_fkey foreign key (tenant_id, approval_id) references
        approvals(tenant_id, id),
    constraint proposed_actions_tenant_id_message_id_fkey foreign key (tenant_id, message_id) references
        messages(tenant_id, id),
    constraint proposed_actions_check check ((gate = 'approval') = (approval_id is not null)),
    constraint proposed_actions_confidence_check check ((confidence >= (0)::float8) and (confidence <= (1)::float8)),
    constraint proposed_actions_fingerprint_check check (octet_length(fingerprint) = 32),
    constraint proposed_actions_gate_check check (gate in ('auto', 'approval', 'denied')),
    constraint proposed_actions_risk_check check (risk in ('low', 'medium', 'high', 'critical'))
);
create index proposed_actions_message on proposed_actions (tenant_id, message_id);

-- What people corrected: proposals that they rejected or changed, drafts that they revised or discarded. The next prompts
-- for the same person show a few of them as examples.
create table judgement_corrections (
    tenant_id uuid not null,
    approval_id uuid not null,
    user_id uuid not null,
    kind text not null,
    action_type text not null,
    sender text,
    subject text,
    proposed text not null,
    chosen text,
    created_at timestamptz not null default now(),
    constraint judgement_corrections_pkey primary key (tenant_id, approval_id),
    constraint judgement_corrections_tenant_id_approval_id_fkey foreign key (tenant_id, approval_id) references
        approvals(tenant_id, id),
    constraint judgement_corrections_tenant_id_user_id_fkey foreign key (tenant_id, user_id) references users(tenant_id,
        id),
    constraint judgement_corrections_chosen_check check (char_length(chosen) <= 500),
    constraint judgement_corrections_kind_check check (kind in ('rejected', 'changed', 'revised', 'discarded')),
    constraint judgement_corrections_proposed_check check (char_length(proposed) <= 300),
    constraint judgement_corrections_sender_check check (char_length(sender) <= 320),
    constraint judgement_corrections_subject_check check (char_length(subject) <= 200)
);
create index judgement_corrections_created_at on judgement_corrections (created_at);
create index judgement_corrections_user on judgement_corrections (tenant_id, user_id, created_at);

-- 0006_drafts_and_effects

-- A draft; each of its versions holds everything that is sent.
create table drafts (
    tenant_id uuid not null,
    id uuid not null,
    mode text not null,
    message_id uuid,
    original_sent_at timestamptz,
    user_id uuid,
    status text not null default 'ready',
    version integer not null,
    approval_id uuid not null,
    follow_up_days smallint,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint drafts_pkey primary key (tenant_id, id),
    constraint drafts_tenant_id_approval_id_fkey foreign key (tenant_id, approval_id) references approvals(tenant_id,
        id),
    constraint drafts_tenant_id_fkey foreign key (tenant_id) references tenants(id),
    constraint drafts_tenant_id_message_id_fkey foreign key (tenant_id, message_id) references messages(tenant_id, id),
    constraint drafts_follow_up_days_check check ((follow_up_days >= 0) and (follow_up_days <= 90)),
    constraint drafts_mode_check check (mode in ('reply', 'reply_all', 'compose', 'forward', 'follow_up')),
    constraint drafts_status_check check (status in ('generating', 'ready', 'approved', 'scheduled', 'sending', 'sent',
        'send_failed', 'send_unknown', 'discarded', 'superseded_by_user')),
    constraint drafts_version_check check (version > 0)
);
create index drafts_approval on drafts (tenant_id, approval_id);
create index drafts_message on drafts (tenant_id, message_id) where (message_id is not null);
create index drafts_owner on drafts (tenant_id, coalesce(user_id, '00000000-0000-0000-0000-000000000000'::uuid), id);
create index drafts_unsent on drafts (tenant_id) where (status in ('ready', 'approved', 'scheduled', 'sending',
    'send_failed'));
create trigger drafts_approval_owner after insert or update of approval_id, user_id on drafts for each row execute
    function set_approval_owner();

create table draft_versions (
    tenant_id uuid not null,
    draft_id uuid not null,
    version integer not null,
    from_address text,
    to_addresses text[] not null,
    cc_addresses text[] not null,
    bcc_addresses text[] not null,
    subject text not null,
    in_reply_to text,
    reference_ids text[] not null,
    body_text text not null,
    send_at timestamptz,
    content_hash bytea not null,
    origin text not null,
    instructions text,
    tone text,
    confidence text not null,
    language text,
    assumptions text[] not null,
    open_questions text[] not null,
    memory_ids uuid[] not null,
    model text,
    prompt_version text,
    job_id uuid not null,
    created_at timestamptz not null default now(),
    constraint draft_versions_pkey primary key (tenant_id, draft_id, version),
    constraint draft_versions_tenant_id_draft_id_fkey foreign key (tenant_id, draft_id) references drafts(tenant_id, id),
    constraint draft_versions_confidence_check check (confidence in ('LOW', 'MEDIUM', 'HIGH')),
    constraint draft_versions_content_hash_check check (octet_length(content_hash) = 32),
    constraint draft_versions_origin_check check (origin in ('llm', 'user', 'revise')),
    constraint draft_versions_tone_check check (tone in ('brief', 'friendly', 'detailed', 'calm', 'formal')),
    constraint draft_versions_version_check check (version > 0)
);
create trigger draft_versions_append_only before delete or update on draft_versions for each row execute function
    refuse_change_unless_erased();
alter table draft_versions enable always trigger draft_versions_append_only;
create trigger draft_versions_no_truncate before truncate on draft_versions for each statement execute function
    refuse_change();
alter table draft_versions enable always trigger draft_versions_no_truncate;

-- The ledger of effects on the outside world. An intent is committed before the first try, so that after a crash it is
-- known what may have happened. A dry run leaves no row.
create table effects (
    tenant_id uuid not null,
    id uuid not null,
    effect_key bytea not null,
    payload_hash bytea,
    type text not null,
    connection_id uuid,
    approval_id uuid,
    message_id uuid,
    rendered bytea,
    rfc_message_id text,
    server_message_id text,
    status text not null default 'intent',
    job_id uuid not null,
    attempt integer not null,
    last_tried_at timestamptz,
    receipt jsonb,
    before_image jsonb,
    error_code text,
    request_id text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint effects_pkey primary key (tenant_id, id),
    constraint effects_key unique (tenant_id, effect_key),
    constraint effects_tenant_id_approval_id_fkey foreign key (tenant_id, approval_id) references approvals(tenant_id,
        id),
    constraint effects_tenant_id_fkey foreign key (tenant_id) references tenants(id),
    constraint effects_effect_key_check check (octet_length(effect_key) = 32),
    constraint effects_payload_hash_check check (octet_length(payload_hash) = 32),
    constraint effects_status_check check (status in ('intent', 'in_flight', 'succeeded', 'bounced', 'failed_permanent',
        'retryable', 'unknown', 'reconciling', 'needs_human', 'compensating', 'compensated', 'compensation_failed'))
);
create index effects_approval on effects (tenant_id, approval_id) where (approval_id is not null);
create index effects_message on effects (tenant_id, message_id) where (message_id is not null);
create index effects_open on effects (updated_at) where (status in ('intent', 'in_flight'));
create index effects_rendered on effects (tenant_id, created_at) where (rendered is not null);
create index effects_replies on effects (tenant_id, message_id) where ((type = 'reply') and (rfc_message_id is not
    null));
create index effects_rfc_message_id on effects (tenant_id, rfc_message_id) where (rfc_message_id is not null);
create index effects_sends on effects (tenant_id, connection_id, last_tried_at) where (connection_id is not null);
create index effects_server_message_id on effects (tenant_id, server_message_id) where (server_message_id is not null);
create index effects_unknown on effects (updated_at) where (status in ('unknown', 'reconciling', 'needs_human'));

-- 0007_inbox_and_records

create table projects (
    tenant_id uuid not null,
    id uuid not null,
    name text not null,
    name_key text not null,
    status text not null,
    notes text,
    version integer not null default 1,
    created_by uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    deletion_id uuid,
    constraint projects_pkey primary key (tenant_id, id),
    constraint projects_tenant_id_fkey foreign key (tenant_id) references tenants(id),
    constraint projects_check check ((deleted_at is null) = (deletion_id is null)),
    constraint projects_name_check check ((char_length(name) >= 1) and (char_length(name) <= 100)),
    constraint projects_notes_check check (char_length(notes) <= 1000),
    constraint projects_status_check check (status in ('backlog', 'ready', 'doing', 'blocked', 'done')),
    constraint projects_version_check check (version > 0)
);
create unique index projects_name_key on projects (tenant_id, name_key) where (deleted_at is null);

create table tasks (
    tenant_id uuid not null,
    id uuid not null,
    project_id uuid,
    title text not null,
    title_key text not null,
    status text not null,
    priority text not null,
    due_on date,
    notes text,
    version integer not null default 1,
    created_by uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    deletion_id uuid,
    constraint tasks_pkey primary key (tenant_id, id),
    constraint tasks_tenant_id_fkey foreign key (tenant_id) references tenants(id),
    constraint tasks_tenant_id_project_id_fkey foreign key (tenant_id, project_id) references projects(tenant_id, id),
    constraint tasks_check check ((deleted_at is null) = (deletion_id is null)),
    constraint tasks_notes_check check (char_length(notes) <= 1000),
    constraint tasks_priority_check check (priority in ('low', 'medium', 'high', 'urgent')),
    constraint tasks_status_check check (status in ('backlog', 'ready', 'doing', 'blocked', 'done')),
    constraint tasks_title_check check ((char_length(title) >= 1) and (char_length(title) <= 200)),
    constraint tasks_version_check check (version > 0)
);
create index tasks_project on tasks (tenant_id, project_id) where (project_id is not null);
create unique index tasks_title_key on tasks (tenant_id, project_id, title_key) nulls not distinct where (deleted_at is
    null);

-- The messages that a task is about.
create table task_messages (
    tenant_id uuid not null,
    task_id uuid not null,
    message_id uuid not null,
    constraint task_messages_pkey primary key (tenant_id, task_id, message_id),
    constraint task_messages_tenant_id_message_id_fkey foreign key (tenant_id, message_id) references
        messages(tenant_id, id),
    constraint task_messages_tenant_id_task_id_fkey foreign key (tenant_id, task_id) references tasks(tenant_id, id)
);
create index task_messages_message on task_messages (tenant_id, message_id);

create table contacts (
    tenant_id uuid not null,
    id uuid not null,
    name text not null,
    name_key text not null,
    email text,
    email_key text,
    notes text,
    version integer not null default 1,
    created_by uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    deletion_id uuid,
    constraint contacts_pkey primary key (tenant_id, id),
    constraint contacts_tenant_id_fkey foreign key (tenant_id) references tenants(id),
    constraint contacts_check check ((deleted_at is null) = (deletion_id is null)),
    constraint contacts_check1 check ((email is null) = (email_key is null)),
    constraint contacts_email_check check ((char_length(email) >= 3) and (char_length(email) <= 320)),
    constraint contacts_name_check check ((char_length(name) >= 1) and (char_length(name) <= 200)),
    constraint contacts_notes_check check (char_length(notes) <= 1000),
    constraint contacts_version_check check (version > 0)
);
create unique index contacts_email_key on contacts (tenant_id, email_key) where (deleted_at is null);
create index contacts_name on contacts (tenant_id, name_key) where (deleted_at is null);

create table inbox_items (
    tenant_id uuid not null,
    id uuid not null,
    owner_id uuid,
    source text not null,
    dedupe_key text not null,
    title text not null,
    rationale text not null,
    priority text not null,
    state text not null default 'open',
    defer_until timestamptz,
    task_id uuid,
    message_id uuid,
    job_id uuid,
    version integer not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint inbox_items_pkey primary key (tenant_id, id),
    constraint inbox_items_tenant_id_fkey foreign key (tenant_id) references tenants(id),
    constraint inbox_items_tenant_id_message_id_fkey foreign key (tenant_id, message_id) references messages(tenant_id,
        id),
    constraint inbox_items_tenant_id_task_id_fkey foreign key (tenant_id, task_id) references tasks(tenant_id, id),
    constraint inbox_items_check check ((state = 'deferred') = (defer_until is not null)),
    constraint inbox_items_check1 check ((state = 'converted_to_task') = (task_id is not null)),
    constraint inbox_items_dedupe_key_check check ((char_length(dedupe_key) >= 1) and (char_length(dedupe_key) <= 255)),
    constraint inbox_items_priority_check check (priority in ('low', 'medium', 'high', 'urgent')),
    constraint inbox_items_source_check check (source in ('email', 'manual', 'follow_up', 'digest')),
    constraint inbox_items_state_check check (state in ('open', 'deferred', 'completed', 'dismissed',
        'converted_to_task')),
    constraint inbox_items_title_check check ((char_length(title) >= 1) and (char_length(title) <= 200)),
    constraint inbox_items_version_check check (version > 0)
);
create index inbox_items_message on inbox_items (tenant_id, message_id) where (message_id is not null);
create index inbox_items_open on inbox_items (tenant_id, owner_id) where (state in ('open', 'deferred'));
create unique index inbox_items_source_key on inbox_items (tenant_id, owner_id, source, dedupe_key) nulls not distinct;

-- Emails of users that wait for an answer. A row is deleted with its email, because its title is the email's.
create table follow_ups (
    tenant_id uuid not null,
    id uuid not null,
    user_id uuid not null,
    message_id uuid not null,
    rfc_message_id text not null,
    thread text[] not null default '{}',
    title text not null,
    reminder text not null,
    status text not null default 'waiting',
    sent_at timestamptz not null,
    due_at timestamptz not null,
    item_id uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint follow_ups_pkey primary key (tenant_id, id),
    constraint follow_ups_email unique (tenant_id, rfc_message_id),
    constraint follow_ups_tenant_id_fkey foreign key (tenant_id) references tenants(id),
    constraint follow_ups_tenant_id_message_id_fkey foreign key (tenant_id, message_id) references messages(tenant_id,
        id) on delete cascade,
    constraint follow_ups_reminder_check check (reminder in ('item', 'draft')),
    constraint follow_ups_status_check check (status in ('waiting', 'reminded', 'answered', 'continued', 'cancelled')),
    constraint follow_ups_title_check check ((char_length(title) >= 1) and (char_length(title) <= 200))
);
create index follow_ups_due on follow_ups (due_at) where (status = 'waiting');
create index follow_ups_message on follow_ups (tenant_id, message_id);
create index follow_ups_thread on follow_ups using gin (thread) where (status in ('waiting', 'reminded'));

-- One digest a user and day, however many workers build it.
create table digests (
    tenant_id uuid not null,
    id uuid not null,
    user_id uuid not null,
    day date not null,
    item_id uuid,
    created_at timestamptz not null default now(),
    constraint digests_pkey primary key (tenant_id, id),
    constraint digests_day unique (tenant_id, user_id, day),
    constraint digests_tenant_id_fkey foreign key (tenant_id) references tenants(id)
);
create index digests_created_at on digests (tenant_id, created_at);

-- Emails that were put off until the next digest.
create table digest_entries (
    tenant_id uuid not null,
    id uuid not null,
    user_id uuid not null,
    message_id uuid not null,
    title text not null,
    note text,
    digest_id uuid,
    created_at timestamptz not null default now(),
    constraint digest_entries_pkey primary key (tenant_id, id),
    constraint digest_entries_tenant_id_digest_id_fkey foreign key (tenant_id, digest_id) references digests(tenant_id,
        id),
    constraint digest_entries_tenant_id_message_id_fkey foreign key (tenant_id, message_id) references
        messages(tenant_id, id) on delete cascade,
    constraint digest_entries_note_check check (char_length(note) <= 300),
    constraint digest_entries_title_check check ((char_length(title) >= 1) and (char_length(title) <= 200))
);
create index digest_entries_digest on digest_entries (tenant_id, digest_id) where (digest_id is not null);
create index digest_entries_message on digest_entries (tenant_id, message_id);
create unique index digest_entries_next on digest_entries (tenant_id, user_id, message_id) where (digest_id is null);

-- 0008_blocks_and_memory

create table blocks (
    tenant_id uuid not null,
    id uuid not null,
    user_id uuid not null,
    title text not null,
    kind text not null,
    source text not null,
    inbox_item_id uuid,
    alternatives_id uuid,
    plan text,
    start_at timestamptz not null,
    end_at timestamptz not null,
    outside_hours boolean not null,
    status text not null default 'proposed',
    version integer not null default 1,
    approval_id uuid,
    event_ref text,
    event_etag text,
    created_at timestamptz not null default now(),
    decided_at timestamptz,
    constraint blocks_pkey primary key (tenant_id, id),
    constraint blocks_approval foreign key (tenant_id, approval_id) references approvals(tenant_id, id),
    constraint blocks_tenant_id_fkey foreign key (tenant_id) references tenants(id),
    constraint blocks_tenant_id_inbox_item_id_fkey foreign key (tenant_id, inbox_item_id) references
        inbox_items(tenant_id, id),
    constraint blocks_tenant_id_user_id_fkey foreign key (tenant_id, user_id) references users(tenant_id, id),
    constraint blocks_check check (end_at > start_at),
    constraint blocks_check1 check ((alternatives_id is null) = (plan is null)),
    constraint blocks_check2 check ((status <> 'booked') or (event_ref is not null)),
    constraint blocks_kind_check check (kind in ('focus', 'admin', 'meeting', 'break', 'travel', 'buffer')),
    constraint blocks_plan_check check ((length(plan) >= 1) and (length(plan) <= 40)),
    constraint blocks_source_check check (source in ('assistant', 'user')),
    constraint blocks_status_check check (status in ('proposed', 'accepted', 'booked', 'conflicted', 'rejected',
        'expired', 'superseded', 'cancelled')),
    constraint blocks_title_check check ((length(title) >= 1) and (length(title) <= 200)),
    constraint blocks_version_check check (version > 0),
    constraint blocks_no_overlap exclude using gist (tenant_id with =, user_id with =, tstzrange(start_at, end_at) with
        &&) where ((status in ('accepted', 'booked')))
);
create unique index blocks_booking on blocks (tenant_id, approval_id) where (approval_id is not null);
create index blocks_item on blocks (tenant_id, inbox_item_id) where (inbox_item_id is not null);
create unique index blocks_open_item on blocks (tenant_id, user_id, inbox_item_id, coalesce(((alternatives_id)::text ||
    plan), '')) where ((inbox_item_id is not null) and (status in ('proposed', 'conflicted')));
create index blocks_undecided on blocks (end_at) where (status in ('proposed', 'conflicted'));
create index blocks_user on blocks (tenant_id, user_id, start_at);

create table memory_items (
    tenant_id uuid not null,
    id uuid not null,
    user_id uuid not null,
    level text not null,
    scope text not null,
    scope_value text not null,
    key text not null,
    value jsonb not null,
    provenance text not null,
    confidence real not null,
    pinned boolean not null,
    status text not null default 'active',
    version integer not null,
    use_count bigint not null default 0,
    last_used_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz,
    constraint memory_items_pkey primary key (tenant_id, id),
    constraint memory_items_tenant_id_fkey foreign key (tenant_id) references tenants(id),
    constraint memory_items_tenant_id_user_id_fkey foreign key (tenant_id, user_id) references users(tenant_id, id),
    constraint memory_items_check check ((scope = 'global') = (scope_value = '')),
    constraint memory_items_check1 check ((status = 'active') = (ended_at is null)),
    constraint memory_items_check2 check ((status <> 'deleted') or (value = 'null'::jsonb)),
    constraint memory_items_confidence_check check ((confidence >= (0)::float8) and (confidence <= (1)::float8)),
    constraint memory_items_key_check check ((length(key) >= 1) and (length(key) <= 200)),
    constraint memory_items_level_check check (level in ('episodic', 'semantic', 'procedural', 'narrative')),
    constraint memory_items_poisoning check ((provenance in ('user', 'user_edit')) or (level in ('episodic',
        'narrative'))),
    constraint memory_items_provenance_check check (provenance in ('user', 'user_edit', 'llm', 'email')),
    constraint memory_items_scope_check check (scope in ('global', 'sender', 'domain', 'topic')),
    constraint memory_items_scope_value_check check (length(scope_value) <= 320),
    constraint memory_items_status_check check (status in ('active', 'expired', 'evicted', 'superseded', 'deleted')),
    constraint memory_items_value_check check (pg_column_size(value) <= 65536),
    constraint memory_items_version_check check (version > 0)
);
create index memory_items_ended on memory_items (ended_at) where (status <> 'active');
create index memory_items_expiring on memory_items (expires_at) where ((status = 'active') and (expires_at is not null));
create index memory_items_live on memory_items (tenant_id, user_id, level, last_used_at) where (status = 'active');
create unique index memory_items_live_key on memory_items (tenant_id, user_id, level, scope, scope_value, key) where
    (status = 'active');

-- 0009_llm

-- One row per request to a model, without prompt or completion. It is written before the request is sent, under the id
-- that the provider sees as x-client-request-id.
create table llm_calls (
    tenant_id uuid not null,
    id uuid not null,
    job_id uuid not null,
    attempt integer not null,
    kind text not null,
    api_key_id uuid,
    step text not null,
    provider text not null,
    model text not null,
    tier text not null default 'standard',
    prompt_version text not null,
    prompt_sha256 bytea not null,
    prompt_bytes integer not null,
    response_bytes integer not null,
    input_tokens bigint not null,
    output_tokens bigint not null,
    cached_tokens bigint not null,
    billing text not null,
    reserved_tokens bigint not null,
    reserved_micros bigint,
    cost_micros bigint,
    tries integer not null,
    duration_ms bigint not null,
    outcome text not null,
    created_at timestamptz not null default now(),
    constraint llm_calls_pkey primary key (tenant_id, id),
    constraint llm_calls_billing_check check (billing in ('reserved', 'settled', 'possibly_billed')),
    constraint llm_calls_cost_micros_check check (cost_micros >= 0),
    constraint llm_calls_prompt_sha256_check check (octet_length(prompt_sha256) = 32),
    constraint llm_calls_reserved_micros_check check (reserved_micros >= 0),
    constraint llm_calls_reserved_tokens_check check (reserved_tokens >= 0),
    constraint llm_calls_tier_check check (tier in ('standard', 'flex', 'batch', 'cache'))
);
create index llm_calls_age on llm_calls using brin (created_at) with (pages_per_range='32', autosummarize='true');
create index llm_calls_created_at on llm_calls (tenant_id, created_at);
create index llm_calls_job on llm_calls (tenant_id, job_id);
create index llm_calls_reserved on llm_calls (created_at) where (billing = 'reserved');

-- Completions, kept until their job ends: a crash after the answer must not pay for it twice.
create table llm_checkpoints (
    tenant_id uuid not null,
    job_id uuid not null,
    step text not null,
    request_hash bytea not null,
    completion jsonb not null,
    created_at timestamptz not null default now(),
    constraint llm_checkpoints_pkey primary key (tenant_id, job_id, step, request_hash),
    constraint llm_checkpoints_request_hash_check check (octet_length(request_hash) = 32)
);
create index llm_checkpoints_created_at on llm_checkpoints (created_at);

-- Answers of models that are used again for the same question of the same tenant.
create table llm_answers (
    tenant_id uuid not null,
    question_hash bytea not null,
    completion jsonb not null,
    created_at timestamptz not null default now(),
    constraint llm_answers_pkey primary key (tenant_id, question_hash),
    constraint llm_answers_tenant_id_fkey foreign key (tenant_id) references tenants(id),
    constraint llm_answers_question_hash_check check (octet_length(question_hash) = 32)
);
create index llm_answers_created_at on llm_answers (created_at);

-- Questions to models and their answers, kept for people to read where a tenant's owner wants it.
create table llm_captures (
    tenant_id uuid not null,
    call_id uuid not null,
    job_id uuid not null,
    step text not null,
    exchange bytea not null,
    key_id text not null,
    created_at timestamptz not null default now(),
    constraint llm_captures_pkey primary key (tenant_id, call_id),
    constraint llm_captures_tenant_id_fkey foreign key (tenant_id) references tenants(id)
);
create index llm_captures_created_at on llm_captures (created_at);
create index llm_captures_job on llm_captures (tenant_id, job_id);

-- A lane is a provider with a model. While it has a reason, it is open (in the words of circuit breakers): nobody asks
-- before `until`, and then one request at a time probes it.
create table llm_lanes (
    provider text not null,
    model text not null,
    reason text,
    until timestamptz,
    failures integer not null default 0,
    probe_id uuid,
    probe_until timestamptz,
    closed_at timestamptz,
    changed_at timestamptz not null default now(),
    constraint llm_lanes_pkey primary key (provider, model),
    constraint llm_lanes_check check ((reason is null) = (until is null)),
    constraint llm_lanes_check1 check ((probe_id is null) = (probe_until is null)),
    constraint llm_lanes_check2 check ((reason is not null) or (probe_id is null)),
    constraint llm_lanes_failures_check check (failures >= 0)
);

-- How often a model is asked per minute: buckets that all workers share. Read and written under its row lock by each
-- request to a model with a rate.
create table llm_rates (
    provider text not null,
    model text not null,
    requests_per_minute bigint,
    tokens_per_minute bigint,
    requests_full_at timestamptz not null default now(),
    tokens_full_at timestamptz not null default now(),
    constraint llm_rates_pkey primary key (provider, model),
    constraint llm_rates_requests_per_minute_check check (requests_per_minute > 0),
    constraint llm_rates_tokens_per_minute_check check (tokens_per_minute > 0)
) with (
    fillfactor = 70
);

-- One row for each job that a rate refused. It stays for some minutes after its turn, to tell whose turn was longest ago.
create table llm_rate_turns (
    tenant_id uuid not null,
    job_id uuid not null,
    provider text not null,
    model text not null,
    tokens bigint not null,
    queued_at timestamptz not null default now(),
    turn_at timestamptz,
    taken_at timestamptz,
    constraint llm_rate_turns_pkey primary key (tenant_id, job_id, provider, model),
    constraint llm_rate_turns_check check ((taken_at is null) or (turn_at is not null)),
    constraint llm_rate_turns_tokens_check check (tokens >= 0)
);
create index llm_rate_turns_open on llm_rate_turns (provider, model, turn_at) where (taken_at is null);

-- What a tenant may use, in all its jobs or in those of one kind, in a day or a month of UTC. `reserved` is in flight.
create table llm_budgets (
    tenant_id uuid not null,
    api_key_id uuid,
    kind text not null,
    period text not null,
    max_tokens bigint,
    max_micros bigint,
    period_start date not null,
    spent_tokens bigint not null default 0,
    spent_micros bigint not null default 0,
    reserved_tokens bigint not null default 0,
    reserved_micros bigint not null default 0,
    constraint llm_budgets_api_key_id_fkey foreign key (tenant_id, api_key_id) references api_keys(tenant_id, id) on
        delete cascade,
    constraint llm_budgets_tenant_id_fkey foreign key (tenant_id) references tenants(id),
    constraint llm_budgets_check check ((max_tokens is not null) or (max_micros is not null)),
    constraint llm_budgets_kind_check check ((length(kind) >= 1) and (length(kind) <= 100)),
    constraint llm_budgets_max_micros_check check (max_micros >= 0),
    constraint llm_budgets_max_tokens_check check (max_tokens >= 0),
    constraint llm_budgets_period_check check (period in ('day', 'month')),
    constraint llm_budgets_reserved_micros_check check (reserved_micros >= 0),
    constraint llm_budgets_reserved_tokens_check check (reserved_tokens >= 0),
    constraint llm_budgets_spent_micros_check check (spent_micros >= 0),
    constraint llm_budgets_spent_tokens_check check (spent_tokens >= 0)
) with (
    fillfactor = 70
);
create unique index llm_budgets_key on llm_budgets (tenant_id, api_key_id, kind, period) nulls not distinct;

-- Batches at a provider: work that can wait costs less. The row is committed before the batch is made, under the name
-- that the provider keeps where it can: a batch whose maker died is looked for before it is made again.
create table llm_batches (
    id uuid not null,
    provider text not null,
    model text not null,
    provider_id text,
    created_at timestamptz not null default now(),
    made_at timestamptz,
    due_at timestamptz not null,
    constraint llm_batches_pkey primary key (id)
);
create index llm_batches_due_at on llm_batches (due_at);

-- One request of a job that waits for a batch or is in one. The job is parked meanwhile, without a slot. The row stays
-- until the job ends, so that a step of a job is in a batch at most once.
create table llm_batch_items (
    tenant_id uuid not null,
    job_id uuid not null,
    step text not null,
    call_id uuid not null,
    request_hash bytea not null,
    provider text not null,
    model text not null,
    max_output_tokens integer not null,
    state text not null default 'waiting',
    batch_id uuid,
    body jsonb,
    created_at timestamptz not null default now(),
    constraint llm_batch_items_pkey primary key (tenant_id, job_id, step),
    constraint llm_batch_items_call_id_key unique (call_id),
    constraint llm_batch_items_batch_id_fkey foreign key (batch_id) references llm_batches(id),
    constraint llm_batch_items_check check ((state = 'sent') = (batch_id is not null)),
    constraint llm_batch_items_check1 check ((state <> 'waiting') or (body is not null)),
    constraint llm_batch_items_check2 check ((body is null) or (state = 'waiting') or (batch_id is not null)),
    constraint llm_batch_items_max_output_tokens_check check (max_output_tokens > 0),
    constraint llm_batch_items_request_hash_check check (octet_length(request_hash) = 32),
    constraint llm_batch_items_state_check check (state in ('waiting', 'sent', 'answered', 'failed'))
);
create index llm_batch_items_batch on llm_batch_items (batch_id) where (batch_id is not null);
create index llm_batch_items_ended on llm_batch_items (created_at) where (state in ('answered', 'failed'));
create index llm_batch_items_waiting on llm_batch_items (created_at) where (state = 'waiting');

-- 0011_schema_compatibility

-- The oldest binaries that can use this schema, by the newest migration that they know. A release that only adds (expands)
-- leaves the number; one that drops or narrows (contracts) raises it to the first migration whose binaries can do without
-- what is gone. Processes of a former release stay ready until then.
create table schema_compatibility (
    only_row boolean not null default true,
    oldest_known_migration bigint not null,
    constraint schema_compatibility_pkey primary key (only_row),
    constraint schema_compatibility_only_row_check check (only_row)
);
