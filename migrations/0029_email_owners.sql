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

-- As in 0028, also by the emails and accounts that their effects concern.
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
                or e.connection_id in (select c.id from connections c where c.tenant_id = of_tenant and c.user_id = of_user)))
$$;
