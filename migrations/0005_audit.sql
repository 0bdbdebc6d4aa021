-- What happened, by whom, at whose request. Rows are added and never changed.

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
    resource_id text not null,
    request_id text,
    trace_id text,
    job_id uuid,
    attempt int,
    outcome text not null check (outcome in ('ok', 'denied', 'failed')),
    dry_run boolean not null default false,
    error_code text,
    -- Only values chosen by the code that writes the row: ids, counts, codes. Never a body, an address or a token.
    detail jsonb not null default '{}'::jsonb,
    primary key (tenant_id, id)
);
create index audit_entries_request on audit_entries (tenant_id, request_id, id);
create index audit_entries_job on audit_entries (tenant_id, job_id, id);

-- The user-facing story of the same events.
create table history_entries (
    tenant_id uuid not null,
    id uuid not null,
    at timestamptz not null default now(),
    verb text not null,
    object_kind text not null,
    object_id uuid not null,
    job_id uuid,
    rationale text not null,
    primary key (tenant_id, id)
);

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'rows of % are append-only', tg_table_name using errcode = 'restrict_violation';
end $$;

-- Grants keep the application's role from changing rows (postroom-api admin grant); the triggers keep everybody else
-- from doing it by accident. ENABLE ALWAYS, or `session_replication_role = replica` would walk past them.
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
