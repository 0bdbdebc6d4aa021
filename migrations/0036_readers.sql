-- Who reads a draft and its approval: the person whose mailbox it is, those who may decide it in their place, and those with
-- a right of their own.

-- The person whose draft it sends; null for what every user of the tenant reads and decides.
alter table approvals add column owner_id uuid;
update approvals a set owner_id = d.user_id
    from drafts d
    where a.kind = 'send_draft' and d.tenant_id = a.tenant_id and d.id::text = a.payload#>>'{params,draft_id}'
        and d.user_id is not null;

-- Also of what a process of the former release writes.
create function set_approval_owner() returns trigger
    language plpgsql set search_path = pg_catalog, public as $$
begin
    update approvals set owner_id = new.user_id
        where tenant_id = new.tenant_id and id = new.approval_id and owner_id is distinct from new.user_id;
    return null;
end $$;
create trigger drafts_approval_owner after insert or update of approval_id, user_id on drafts
    for each row execute function set_approval_owner();

-- The users whose drafts and approvals this one reads and decides: themselves, those who let them, and those who are not
-- there, so that nobody else could. The nil id stands for nobody's. An API key (null) has only that.
--
-- Without a search path of its own, so that Postgres plans it as a part of the statement that calls it.
create function owners_decided_by(of_tenant uuid, reader uuid) returns setof uuid
    language sql stable rows 10 as $$
    select '00000000-0000-0000-0000-000000000000'::uuid
    union
    select reader where reader is not null
    union
    select user_id from delegations where tenant_id = of_tenant and delegate_id = reader
    union
    select id from users where tenant_id = of_tenant and status <> 'active' and reader is not null
$$;
create index if not exists delegations_delegate on delegations (tenant_id, delegate_id);
create index if not exists users_inactive on users (tenant_id, id) where status <> 'active';

-- A reader's list is merged from the newest of each of these owners: the rows of others are not passed.
create index if not exists approvals_owner
    on approvals (tenant_id, coalesce(owner_id, '00000000-0000-0000-0000-000000000000'), id);
create index if not exists drafts_owner
    on drafts (tenant_id, coalesce(user_id, '00000000-0000-0000-0000-000000000000'), id);

alter table api_keys drop constraint api_keys_scopes_known;
alter table api_keys add constraint api_keys_scopes_known check (cardinality(scopes) > 0 and scopes <@ array[
    'jobs:read', 'jobs:write', 'rules:read', 'rules:write', 'approvals:read', 'approvals:read_all', 'records:read',
    'records:write', 'history:read', 'audit:read']) not valid;
alter table api_keys validate constraint api_keys_scopes_known;
