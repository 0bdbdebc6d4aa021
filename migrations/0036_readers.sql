-- Who reads a draft and its approval: the person whose mailbox it is, those who may decide it in their place, and those with
-- a right of their own. Ids of audit entries are made by the database.

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

-- As in 0033, also by whose draft they send: an approval of a former version is named by no draft.
create or replace function approvals_of_user(of_tenant uuid, of_user uuid) returns table (approval_id uuid)
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

-- An audit entry's id is made of its time and its place, whatever its writer says: a UUID of version 7, whose order is that of
-- the entries of one transaction. Behind the time stands the number, or for a batch a set bit, its number and four digits for
-- the place of an entry in it. Processes of the former release still give ids of their own, which count for nothing.
create function set_audit_id() returns trigger
    language plpgsql set search_path = pg_catalog as $$
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
end $$;

-- Only of what this transaction writes: a dump that is restored keeps its ids, which are sealed.
create trigger audit_entries_id before insert on audit_entries
    for each row when (new.xid = pg_current_xact_id()) execute function set_audit_id();
create trigger audit_batches_id before insert on audit_batches
    for each row when (new.xid = pg_current_xact_id()) execute function set_audit_id();

-- The ids that clients gave their requests may hold anybody's words, and audit entries stay for good: they name a request by our
-- id, and the client's stands here until its user or tenant is erased. No seal covers it. A request that writes entries in
-- several statements has a row for each, so that none of its transactions waits for another.
create table client_request_ids (
    tenant_id uuid not null,
    request_id text not null,
    id uuid not null default gen_random_uuid(),
    client_request_id text not null,
    -- The user or the API key; null if nobody was authenticated.
    actor_id uuid,
    primary key (tenant_id, request_id, id)
);
create index client_request_ids_name on client_request_ids (tenant_id, client_request_id);
create index client_request_ids_actor on client_request_ids (tenant_id, actor_id) where actor_id is not null;
