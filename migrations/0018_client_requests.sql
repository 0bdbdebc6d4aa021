-- The id that a client gave its request (X-Request-Id), beside the id that we gave it: with the job that it submitted and
-- with the audit entries that it caused. Ours alone is unique.
alter table jobs add column client_request_id text;
alter table finished_jobs add column client_request_id text;
alter table audit_entries add column client_request_id text;
-- Entries are searched by either id. Most clients name none, so rows without one are left out.
create index if not exists audit_entries_client_request on audit_entries (tenant_id, client_request_id)
    where client_request_id is not null;
