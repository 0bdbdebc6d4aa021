-- The queue of what waits for a person.

create table action_items (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    -- Null: everybody of the tenant sees it.
    owner_id uuid,
    source text not null check (source in ('email', 'teams', 'doc', 'calendar', 'manual')),
    -- The source's name for it.
    dedupe_key text not null check (char_length(dedupe_key) between 1 and 255),
    title text not null check (char_length(title) between 1 and 200),
    rationale text not null,
    priority text not null check (priority in ('low', 'medium', 'high', 'urgent')),
    state text not null default 'queued'
        check (state in ('queued', 'deferred', 'completed', 'dismissed', 'converted_to_task')),
    defer_until timestamptz,
    task_id uuid,
    message_id uuid,
    job_id uuid,
    version int not null default 1 check (version > 0),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (tenant_id, id),
    foreign key (tenant_id, task_id) references tasks (tenant_id, id),
    foreign key (tenant_id, message_id) references messages (tenant_id, id),
    check ((state = 'deferred') = (defer_until is not null)),
    check ((state = 'converted_to_task') = (task_id is not null))
);
-- What was finished keeps its name: the same mail does not come back.
create unique index action_items_source_key on action_items (tenant_id, owner_id, source, dedupe_key)
    nulls not distinct;
create index action_items_open on action_items (tenant_id, owner_id) where state in ('queued', 'deferred');
create index action_items_message on action_items (tenant_id, message_id) where message_id is not null;
