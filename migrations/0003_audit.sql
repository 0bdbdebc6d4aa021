-- The audit log, for operators and auditors, and the history, which tells users the same events in their words.
-- Both are append-only.

-- The application's role has no right to change rows (postroom-api admin grant); the triggers stop every other role from
-- doing it by accident. ENABLE ALWAYS, because `session_replication_role = replica` disables ordinary triggers.
create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'rows of % are append-only', tg_table_name using errcode = 'restrict_violation';
end $$;

-- Erasing a tenant or a person deletes history and drafts, which are append-only for everybody else. The audit log stays
-- whole: it holds ids and codes, and nobody's words.
create function refuse_change_unless_erased() returns trigger language plpgsql as $$
begin
    -- Set for one transaction by `postroom-api admin tenant erase`. The application's role has no right to delete here.
    if tg_op = 'DELETE' and old.tenant_id::text = current_setting('postroom.erased_tenant', true) then
        return old;
    end if;
    raise exception 'rows of % are append-only', tg_table_name using errcode = 'restrict_violation';
end $$;

create table audit_entries (
    tenant_id uuid not null,
    -- Readers follow the log by transaction, and within one by number: behind the oldest transaction that is still open
    -- nothing is added any more. The order of ids is not the order of commits. Both columns are set by the database.
    xid xid8 not null default pg_current_xact_id(),
    seq bigint generated always as identity (cache 100),
    id uuid not null,
    at timestamptz not null default now(),
    actor_kind text not null check (actor_kind in ('user', 'api_key', 'worker', 'system', 'cli')),
    actor_id uuid,
    session_id uuid,
    -- OWASP Logging Vocabulary names for people, noun.verb for work.
    action text not null,
    resource_kind text not null,
    -- Null for an entry about a job, which job_id names: one id less in half of all rows.
    resource_id text,
    request_id text,
    trace_id text,
    job_id uuid,
    attempt int,
    outcome text not null check (outcome in ('ok', 'denied', 'failed')),
    dry_run boolean not null default false,
    error_code text,
    -- Only values chosen by the code that writes the row: ids, counts, codes. Never a body, an address or a token.
    detail jsonb not null default '{}'::jsonb,
    primary key (tenant_id, xid, seq),
    check (resource_id is not null or (resource_kind = 'job' and job_id is not null))
);
-- Every attempt writes a row. Most readers search by request, so rows without one are left out of the index.
create index audit_entries_request on audit_entries (tenant_id, request_id, id) where request_id is not null;

-- Successes are audited by the batch: a row for each tenant of a settling statement, read as an entry for each job.
-- A worker settles plain successes by the hundred. Their entries differ in the job, its attempt, its request and its trace,
-- and a row with its index entries for each was a third of what a finished job wrote.
create table audit_batches (
    tenant_id uuid not null,
    -- The place of the first entry in the log; the others follow in the order of the arrays. Set by the database. The
    -- numbers lie above those of audit_entries, so that a transaction which writes to both has one order.
    xid xid8 not null default pg_current_xact_id(),
    seq bigint not null generated always as identity (start 4611686018427387904 increment 1000 cache 10),
    -- An entry's id is this one with the entry's place in the last four digits.
    id uuid not null,
    at timestamptz not null default now(),
    worker_id uuid not null,
    entries int not null,
    job_ids uuid[] not null,
    attempts int[] not null,
    -- Null if no entry has one.
    request_ids text[],
    -- The first four bytes of the SHA-256 of each request id, for the index: it costs a third of one over the ids.
    request_hashes int[],
    trace_ids text[],
    primary key (tenant_id, xid, seq),
    check (
        entries between 1 and 1000
        and cardinality(job_ids) = entries and cardinality(attempts) = entries
        and cardinality(request_ids) = entries is not false and cardinality(trace_ids) = entries is not false
        and cardinality(request_hashes) is not distinct from cardinality(request_ids))
);
-- A small pending list, because the settling statement that fills it moves it into the index.
create index audit_batches_requests on audit_batches using gin (request_hashes) with (gin_pending_list_limit = 256)
    where request_hashes is not null;

-- An entry's id is made of its time and its place, whatever its writer says: a UUID of version 7, whose order is that of
-- the entries of one transaction. Behind the time stands the number, or for a batch a set bit, its number and four digits
-- for the place of an entry in it.
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

-- The entries of a batch, as they would stand in audit_entries.
create function audit_entries_of(batch audit_batches) returns setof audit_entries
language sql stable
as $$
    select batch.tenant_id, batch.xid, batch.seq + nth - 1,
        (left(batch.id::text, 32) || lpad(to_hex(nth), 4, '0'))::uuid, batch.at, 'worker', batch.worker_id, null::uuid,
        'job.succeeded', 'job', null::text, request_id, trace_id, job_id, attempt, 'ok', false, null::text, '{}'::jsonb
    from unnest(batch.job_ids, batch.attempts, batch.request_ids, batch.trace_ids) with ordinality
        as entry (job_id, attempt, request_id, trace_id, nth)
$$;

-- Every entry once: what an auditor reads.
create view audit_log with (security_invoker = true) as
select * from audit_entries
union all
select entry.* from audit_batches batch cross join lateral audit_entries_of(batch) entry;

-- Settles attempts as settle_placed does, and writes their entries in the same statement: a row of audit_batches for each range
-- of attempts from `firsts` to `lasts`, whose jobs are one tenant's and one worker's. A function, because it keeps its plan.
create function settle_audited(
    places tid[], tenants uuid[], ids uuid[], attempts int[], workers uuid[], outputs jsonb[], firsts int[], lasts int[],
    request_ids text[], request_hashes int[], trace_ids text[]
) returns int[]
language plpgsql
set plan_cache_mode = force_generic_plan set jit = off
as $$
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
end $$;

-- Seals over the audit log: each covers the entries of a tenant between its predecessor's last and its own last.
create table audit_seals (
    tenant_id uuid not null,
    -- 1, 2, 3 … of the tenant.
    position bigint not null check (position > 0),
    last_xid xid8 not null,
    last_seq bigint not null,
    entries int not null check (entries > 0),
    -- The root of the Merkle tree over the entries (RFC 6962).
    root bytea not null check (octet_length(root) = 32),
    -- sha256 over the tenant's previous seal and this one.
    hash bytea not null check (octet_length(hash) = 32),
    -- 1, 2, 3 … of all tenants, and sha256 over the previous number's chain and this hash: its newest value, kept
    -- elsewhere, shows when the end of the log was cut off.
    number bigint not null constraint audit_seals_number_key unique check (number > 0),
    chain bytea not null check (octet_length(chain) = 32),
    sealed_at timestamptz not null default now(),
    primary key (tenant_id, position)
);

-- The ids that clients gave their requests (X-Request-Id) may hold anybody's words, and audit entries stay for good: they
-- name a request by our id, and the client's stands here until its user or tenant is erased. No seal covers it. A request
-- that writes entries in several statements has a row for each, so that none of its transactions waits for another.
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

create table history_entries (
    tenant_id uuid not null,
    id uuid not null,
    at timestamptz not null default now(),
    verb text not null,
    object_kind text not null,
    object_id uuid not null,
    job_id uuid,
    rationale text not null,
    -- Null: every user of the tenant sees the entry.
    user_id uuid,
    primary key (tenant_id, id)
);
create index history_entries_object on history_entries (tenant_id, object_id, id);

create trigger audit_entries_append_only before update or delete on audit_entries
    for each row execute function refuse_change();
create trigger audit_entries_no_truncate before truncate on audit_entries
    for each statement execute function refuse_change();
alter table audit_entries enable always trigger audit_entries_append_only;
alter table audit_entries enable always trigger audit_entries_no_truncate;

create trigger audit_batches_append_only before update or delete on audit_batches
    for each row execute function refuse_change();
create trigger audit_batches_no_truncate before truncate on audit_batches
    for each statement execute function refuse_change();
alter table audit_batches enable always trigger audit_batches_append_only;
alter table audit_batches enable always trigger audit_batches_no_truncate;

create trigger audit_seals_append_only before update or delete on audit_seals
    for each row execute function refuse_change();
create trigger audit_seals_no_truncate before truncate on audit_seals
    for each statement execute function refuse_change();
alter table audit_seals enable always trigger audit_seals_append_only;
alter table audit_seals enable always trigger audit_seals_no_truncate;

create trigger history_entries_append_only before update or delete on history_entries
    for each row execute function refuse_change_unless_erased();
create trigger history_entries_no_truncate before truncate on history_entries
    for each statement execute function refuse_change();
alter table history_entries enable always trigger history_entries_append_only;
alter table history_entries enable always trigger history_entries_no_truncate;
