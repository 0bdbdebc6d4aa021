-- Whose emails are, for those that led to no inbox item, draft or answer: a person who is erased leaves them behind otherwise.

-- The user whose mailbox the email arrived in, if there is one; null also for what was judged before this migration.
alter table triage_results add column owner_id uuid;

-- As in 0028, also by whose emails were judged, followed up and put off until a digest.
create or replace function emails_of_user(of_tenant uuid, of_user uuid) returns table (message_id uuid)
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
        select f.message_id, c.user_id
        from fetched_emails f
        join connections c on c.tenant_id = f.tenant_id and c.id = f.connection_id
        where f.tenant_id = of_tenant
    )
    select h.message_id from held h where h.user_id = of_user and h.message_id is not null
    except
    select h.message_id from held h where h.user_id <> of_user
$$;

-- As in 0028, also by the emails and accounts that their effects concern. A webhook is shared: its effects are of those who
-- asked for them.
create or replace function jobs_of_user(of_tenant uuid, of_user uuid) returns table (job_id uuid, state text)
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

-- As in 0028, but for the effects of other users on a webhook that the person has connected.
create or replace function erase_user(of_tenant uuid, of_user uuid) returns bigint
    language plpgsql set search_path = pg_catalog, public as $$
declare
    emails uuid[];
    decided uuid[];
    work uuid[];
    accounts uuid[];
    own uuid[];
begin
    -- All of them before anything is deleted: each is found by rows of the others.
    select coalesce(array_agg(message_id), '{}') into emails from emails_of_user(of_tenant, of_user);
    select coalesce(array_agg(approval_id), '{}') into decided from approvals_of_user(of_tenant, of_user);
    select coalesce(array_agg(job_id), '{}') into work from jobs_of_user(of_tenant, of_user);
    select coalesce(array_agg(id), '{}') into accounts from connections where tenant_id = of_tenant and user_id = of_user;
    select coalesce(array_agg(id), '{}') into own from connections
        where tenant_id = of_tenant and user_id = of_user and provider <> 'webhook';

    delete from llm_checkpoints where tenant_id = of_tenant and job_id = any (work);
    delete from job_events where tenant_id = of_tenant and job_id = any (work);
    delete from job_attempts where tenant_id = of_tenant and job_id = any (work);
    delete from job_keys where tenant_id = of_tenant and job_id = any (work);
    delete from finished_jobs where tenant_id = of_tenant and id = any (work);
    delete from llm_batch_items where tenant_id = of_tenant and job_id = any (work);
    delete from request_keys where tenant_id = of_tenant and actor_id = of_user;

    delete from judgement_corrections where tenant_id = of_tenant and (user_id = of_user or approval_id = any (decided));
    perform set_config('postroom.erased_tenant', of_tenant::text, true);
    delete from draft_versions v using drafts d
        where d.tenant_id = of_tenant and d.user_id = of_user and v.tenant_id = d.tenant_id and v.draft_id = d.id;
    delete from history_entries h
        where h.tenant_id = of_tenant and (h.user_id = of_user or h.object_id = any (decided) or h.object_id in (
            select d.id from drafts d where d.tenant_id = of_tenant and d.user_id = of_user
            union all
            select f.id from follow_ups f where f.tenant_id = of_tenant and f.user_id = of_user
            union all
            select i.id from inbox_items i where i.tenant_id = of_tenant and i.owner_id = of_user
            union all
            select b.id from blocks b where b.tenant_id = of_tenant and b.user_id = of_user
            union all
            select m.id from memory_items m where m.tenant_id = of_tenant and m.user_id = of_user));
    perform set_config('postroom.erased_tenant', '', true);
    delete from drafts where tenant_id = of_tenant and user_id = of_user;
    delete from blocks where tenant_id = of_tenant and user_id = of_user;
    update blocks b set inbox_item_id = null
        where b.tenant_id = of_tenant and b.inbox_item_id in (
            select i.id from inbox_items i where i.tenant_id = of_tenant and i.owner_id = of_user);
    delete from follow_ups where tenant_id = of_tenant and user_id = of_user;
    delete from digest_entries where tenant_id = of_tenant and user_id = of_user;
    delete from digests where tenant_id = of_tenant and user_id = of_user;
    delete from inbox_items where tenant_id = of_tenant and owner_id = of_user;
    delete from own_messages where tenant_id = of_tenant and user_id = of_user;
    update approvals
        set title = 'Forgotten', summary = '', payload = '{}', rationale = null, failure_message = null,
            status = case when status in ('proposed', 'editing') then 'expired' else status end, version = version + 1
        where tenant_id = of_tenant and id = any (decided);
    update effects set rendered = null, receipt = null, before_image = null
        where tenant_id = of_tenant and (connection_id = any (own) or approval_id = any (decided) or job_id = any (work));
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
