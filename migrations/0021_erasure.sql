-- Erasing a tenant deletes its drafts and its history, which are append-only for everybody else. The audit log stays whole:
-- it holds ids and codes, and nobody's words.

create function refuse_change_unless_erased() returns trigger language plpgsql as $$
begin
    -- Set for one transaction by `postroom-api admin tenant erase`. The application's role has no right to delete here.
    if tg_op = 'DELETE' and old.tenant_id::text = current_setting('postroom.erased_tenant', true) then
        return old;
    end if;
    raise exception 'rows of % are append-only', tg_table_name using errcode = 'restrict_violation';
end $$;

drop trigger draft_versions_append_only on draft_versions;
create trigger draft_versions_append_only before update or delete on draft_versions
    for each row execute function refuse_change_unless_erased();
alter table draft_versions enable always trigger draft_versions_append_only;

drop trigger history_entries_append_only on history_entries;
create trigger history_entries_append_only before update or delete on history_entries
    for each row execute function refuse_change_unless_erased();
alter table history_entries enable always trigger history_entries_append_only;

-- How long a tenant keeps emails and what is made of them.

-- Null: for good.
alter table tenants add column email_retention_days int check (email_retention_days between 7 and 3650);

-- Forgets up to `at_most` emails of a tenant that are older than it keeps them, with their drafts, results and words in
-- approvals, effects, inbox and history; returns how many. Emails of a decision in progress wait for its end.
--
-- Runs with the rights of the schema's owner: the application's role may delete nothing that is append-only, and with this
-- function only what is due.
create function forget_old_emails(of_tenant uuid, at_most int) returns bigint
    language plpgsql security definer set search_path = pg_catalog, public as $$
declare
    old uuid[];
    concerned uuid[];
begin
    select array_agg(found.id) into old from (
        select m.id
        from messages m
        join tenants t on t.id = m.tenant_id
        where m.tenant_id = of_tenant and m.received_at < now() - make_interval(days => t.email_retention_days)
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
        order by m.id
        limit at_most
        for update of m skip locked
    ) found;
    if old is null then
        return 0;
    end if;
    select coalesce(array_agg(made.approval_id), '{}') into concerned from (
        select approval_id from drafts where tenant_id = of_tenant and message_id = any (old)
        union
        select approval_id from proposed_actions
        where tenant_id = of_tenant and message_id = any (old) and approval_id is not null
    ) made;
    -- They quote the sender and the subject.
    delete from judgement_corrections where tenant_id = of_tenant and approval_id = any (concerned);
    perform set_config('postroom.erased_tenant', of_tenant::text, true);
    delete from draft_versions v using drafts d
        where d.tenant_id = of_tenant and d.message_id = any (old) and v.tenant_id = d.tenant_id and v.draft_id = d.id;
    delete from history_entries h
        where h.tenant_id = of_tenant and (h.object_id = any (old) or h.object_id = any (concerned) or h.object_id in (
            select d.id from drafts d where d.tenant_id = of_tenant and d.message_id = any (old)
            union all
            select i.id from inbox_items i where i.tenant_id = of_tenant and i.message_id = any (old)
            union all
            select e.id from effects e where e.tenant_id = of_tenant and e.message_id = any (old)));
    perform set_config('postroom.erased_tenant', '', true);
    delete from drafts where tenant_id = of_tenant and message_id = any (old);
    delete from proposed_actions where tenant_id = of_tenant and message_id = any (old);
    update approvals
        set title = 'Forgotten', summary = '', payload = '{}', rationale = null, failure_message = null,
            status = case status when 'proposed' then 'expired' else status end, version = version + 1
        where tenant_id = of_tenant and id = any (concerned);
    update effects set rendered = null, receipt = null, before_image = null
        where tenant_id = of_tenant and (message_id = any (old) or approval_id = any (concerned));
    delete from triage_results where tenant_id = of_tenant and message_id = any (old);
    delete from own_messages where tenant_id = of_tenant and message_id = any (old);
    delete from task_messages where tenant_id = of_tenant and message_id = any (old);
    -- Its name is made of the email's content.
    update inbox_items set message_id = null, title = 'A forgotten email', rationale = '', dedupe_key = id::text
        where tenant_id = of_tenant and message_id = any (old);
    delete from messages where tenant_id = of_tenant and id = any (old);
    return cardinality(old);
end $$;
