-- The audit log, for operators and auditors, and the history, which tells users the same events in their words.
-- Both are append-only.

create table audit_entries (
    tenant_id uuid not null,
    id uuid not null,
    at timestamptz not null default now(),
    actor_kind text not null check (actor_kind in ('user', 'worker', 'system', 'cli')),
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
    primary key (tenant_id, id),
    check (resource_id is not null or (resource_kind = 'job' and job_id is not null))
);
-- Every attempt writes a row. Most readers search by request, so rows without one are left out of the index.
create index audit_entries_request on audit_entries (tenant_id, request_id, id) where request_id is not null;

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

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'rows of % are append-only', tg_table_name using errcode = 'restrict_violation';
end $$;

-- The application's role has no right to change rows (postroom-api admin grant); the triggers stop every other role from
-- doing it by accident. ENABLE ALWAYS, because `session_replication_role = replica` disables ordinary triggers.
create trigger audit_entries_append_only before update or delete on audit_entries
    for each row execute function refuse_change();
create trigger audit_entries_no_truncate before truncate on audit_entries
    for each statement execute function refuse_change();
alter table audit_entries enable always trigger audit_entries_append_only;
alter table audit_entries enable always trigger audit_entries_no_truncate;

create trigger history_entries_append_only before update or delete on history_entries
    for each row execute function refuse_change();
create trigger history_entries_no_truncate before truncate on history_entries
    for each statement execute function refuse_change();
alter table history_entries enable always trigger history_entries_append_only;
alter table history_entries enable always trigger history_entries_no_truncate;
