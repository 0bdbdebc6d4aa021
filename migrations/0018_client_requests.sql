-- The id that a client gave its request (X-Request-Id), beside the id that we gave it: with the job that it submitted and
-- with the audit entries that it caused. Ours alone is unique.
alter table jobs add column client_request_id text;
alter table finished_jobs add column client_request_id text;
alter table audit_entries add column client_request_id text;
-- The entries of a batch are the worker's: it knows our id of the request, which leads to the client's.
create or replace function audit_entries_of(batch audit_batches) returns setof audit_entries
language sql stable
as $$
    select batch.tenant_id, (left(batch.id::text, 32) || lpad(to_hex(nth), 4, '0'))::uuid, batch.at, 'worker',
        batch.worker_id, null::uuid, 'job.succeeded', 'job', null::text, request_id, trace_id, job_id, attempt, 'ok', false,
        null::text, '{}'::jsonb, batch.xid, batch.seq + nth - 1, null::text
    from unnest(batch.job_ids, batch.attempts, batch.request_ids, batch.trace_ids) with ordinality
        as entry (job_id, attempt, request_id, trace_id, nth)
$$;
create or replace view audit_log with (security_invoker = true) as
select * from audit_entries
union all
select entry.* from audit_batches batch cross join lateral audit_entries_of(batch) entry;

-- Entries are searched by either id. Most clients name none, so rows without one are left out.
create index if not exists audit_entries_client_request on audit_entries (tenant_id, client_request_id)
    where client_request_id is not null;
