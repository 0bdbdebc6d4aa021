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

create trigger audit_batches_append_only before update or delete on audit_batches
    for each row execute function refuse_change();
create trigger audit_batches_no_truncate before truncate on audit_batches
    for each statement execute function refuse_change();
alter table audit_batches enable always trigger audit_batches_append_only;
alter table audit_batches enable always trigger audit_batches_no_truncate;

-- The entries of a batch, as they would stand in audit_entries.
create function audit_entries_of(batch audit_batches) returns setof audit_entries
language sql stable
as $$
    select batch.tenant_id, (left(batch.id::text, 32) || lpad(to_hex(nth), 4, '0'))::uuid, batch.at, 'worker',
        batch.worker_id, null::uuid, 'job.succeeded', 'job', null::text, request_id, trace_id, job_id, attempt, 'ok', false,
        null::text, '{}'::jsonb, batch.xid, batch.seq + nth - 1
    from unnest(batch.job_ids, batch.attempts, batch.request_ids, batch.trace_ids) with ordinality
        as entry (job_id, attempt, request_id, trace_id, nth)
$$;

-- Every entry once: what an auditor reads.
create view audit_log with (security_invoker = true) as
select * from audit_entries
union all
select entry.* from audit_batches batch cross join lateral audit_entries_of(batch) entry;
