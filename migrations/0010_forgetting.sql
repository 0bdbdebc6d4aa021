-- Forgetting emails after the time for which their tenant keeps them, and erasing a person: their emails and everything
-- that is theirs. The audit log stays; it holds ids and codes.

-- What is a person's, for an export and for erasing them.

-- The emails of a person's mailbox that no other user of the tenant has too, also by whose emails were judged, followed
-- up and put off until a digest. What a mailbox has is known by its content: of an email that two mailboxes have, one
-- copy is stored.
create function emails_of_user(of_tenant uuid, of_user uuid) returns table (message_id uuid)
    language sql stable set search_path = pg_catalog, public as $$
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
$$;

-- The approvals with a person's words: of their emails, drafts and blocks, what they asked for, and those that send their
-- draft: an approval of a draft's former version is named by no draft. Also with the drafts and blocks of the person's
-- emails that are nobody's or a colleague's.
create function approvals_of_user(of_tenant uuid, of_user uuid) returns table (approval_id uuid)
    language sql stable set search_path = pg_catalog, public as $$
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
$$;

-- The jobs with a person's words in their arguments or output, with their state; also by the emails and accounts that
-- their effects concern. A webhook is shared: its effects are of those who asked for them.
create function jobs_of_user(of_tenant uuid, of_user uuid) returns table (job_id uuid, state text)
    language sql stable set search_path = pg_catalog, public as $$
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
$$;

-- The effects with a person's words. A webhook is shared: the calls of colleagues' jobs are theirs.
create function effects_of_user(of_tenant uuid, of_user uuid) returns table (effect_id uuid)
    language sql stable set search_path = pg_catalog, public as $$
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
$$;

-- The history of what is a person's.
create function history_of_user(of_tenant uuid, of_user uuid) returns table (entry_id uuid)
    language sql stable set search_path = pg_catalog, public as $$
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
$$;

-- What is forgotten together. These run with the caller's rights: the application's role may not delete what is
-- append-only. Each statement of them uses an index.

-- Deletes the history of these objects.
create function forget_history(of_tenant uuid, objects uuid[]) returns void
    language plpgsql set search_path = pg_catalog, public as $$
begin
    perform set_config('postroom.erased_tenant', of_tenant::text, true);
    delete from history_entries where tenant_id = of_tenant and object_id = any (objects);
    perform set_config('postroom.erased_tenant', '', true);
end $$;

-- Forgets the words of these effects, with their history.
create function forget_effects(of_tenant uuid, old uuid[]) returns void
    language plpgsql set search_path = pg_catalog, public as $$
begin
    perform forget_history(of_tenant, old);
    update effects set rendered = null, receipt = null, before_image = null
        where tenant_id = of_tenant and id = any (old);
end $$;

-- Forgets the words of these approvals, with their drafts, effects and history.
create function forget_approvals(of_tenant uuid, old uuid[]) returns void
    language plpgsql set search_path = pg_catalog, public as $$
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
end $$;

-- Forgets the words of digests that name one of these emails, a draft or a decision about it, or its place in the inbox.
create function forget_digests(of_tenant uuid, emails uuid[], decisions uuid[]) returns void
    language plpgsql set search_path = pg_catalog, public as $$
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
end $$;

-- Forgets these emails, with their drafts, results and words in approvals, effects, inbox and history; blocks and digests
-- have titles of emails too.
create function forget_emails(of_tenant uuid, old uuid[]) returns void
    language plpgsql set search_path = pg_catalog, public as $$
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
end $$;

-- The emails and drafts that a tenant's jobs have still need of.
create function named_by_jobs(of_tenant uuid) returns table (id uuid)
    language sql stable set search_path = pg_catalog, public as $$
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
$$;

-- Forgets up to `at_most` emails of a tenant that are older than it keeps them, with what `forget_emails` forgets of
-- each; returns how many. Emails of a decision in progress, of an event to come and of a job wait for its end.
--
-- Runs with the rights of the schema's owner: the application's role may delete nothing that is append-only, and with this
-- function only what is due.
create function forget_old_emails(of_tenant uuid, at_most int) returns bigint
    language plpgsql security definer set search_path = pg_catalog, public as $$
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
end $$;

-- Forgets up to `at_most` approvals and as many effects of a tenant that ended before it keeps emails, with their drafts:
-- also those that name no email, because the tenant wrote the first one. Returns how many.
--
-- Runs with the rights of the schema's owner, as `forget_old_emails`.
create function forget_old_writings(of_tenant uuid, at_most int) returns bigint
    language plpgsql security definer set search_path = pg_catalog, public as $$
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
end $$;

-- Erases a removed user; returns how many emails it forgot. Their row stays, without their address, for what names it.
-- What is a person's is what the functions above say.
create function erase_user(of_tenant uuid, of_user uuid) returns bigint
    language plpgsql set search_path = pg_catalog, public as $$
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
end $$;
