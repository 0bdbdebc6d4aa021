-- Users' tasks, projects and contacts, and the inbox of what needs their attention.
-- Deleting a record hides its row and can be undone.

create table projects (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    name text not null check (char_length(name) between 1 and 100),
    -- The name folded for comparison. Folded by us, because lower() depends on the database's locale.
    name_key text not null,
    status text not null check (status in ('backlog', 'ready', 'doing', 'blocked', 'done')),
    notes text check (char_length(notes) <= 1000),
    version int not null default 1 check (version > 0),
    created_by uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    -- Shared by all rows that one deletion hid: undoing it restores exactly these.
    deletion_id uuid,
    primary key (tenant_id, id),
    check ((deleted_at is null) = (deletion_id is null))
);
create unique index projects_name_key on projects (tenant_id, name_key) where deleted_at is null;

create table tasks (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    project_id uuid,
    title text not null check (char_length(title) between 1 and 200),
    title_key text not null,
    status text not null check (status in ('backlog', 'ready', 'doing', 'blocked', 'done')),
    priority text not null check (priority in ('low', 'medium', 'high', 'urgent')),
    due_on date,
    notes text check (char_length(notes) <= 1000),
    version int not null default 1 check (version > 0),
    -- Null if a rule created it.
    created_by uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    deletion_id uuid,
    primary key (tenant_id, id),
    foreign key (tenant_id, project_id) references projects (tenant_id, id),
    check ((deleted_at is null) = (deletion_id is null))
);
-- Tasks without a project share one list.
create unique index tasks_title_key on tasks (tenant_id, project_id, title_key) nulls not distinct
    where deleted_at is null;
-- For undoing a project's deletion, and for the foreign key.
create index tasks_project on tasks (tenant_id, project_id) where project_id is not null;

-- The messages that a task is about.
create table task_messages (
    tenant_id uuid not null,
    task_id uuid not null,
    message_id uuid not null,
    primary key (tenant_id, task_id, message_id),
    foreign key (tenant_id, task_id) references tasks (tenant_id, id),
    foreign key (tenant_id, message_id) references messages (tenant_id, id)
);

create table contacts (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    name text not null check (char_length(name) between 1 and 200),
    name_key text not null,
    email text check (char_length(email) between 3 and 320),
    email_key text,
    notes text check (char_length(notes) <= 1000),
    version int not null default 1 check (version > 0),
    created_by uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    deletion_id uuid,
    primary key (tenant_id, id),
    check ((deleted_at is null) = (deletion_id is null)),
    check ((email is null) = (email_key is null))
);
-- An address belongs to one contact; two contacts may have the same name.
create unique index contacts_email_key on contacts (tenant_id, email_key) where deleted_at is null;
create index contacts_name on contacts (tenant_id, name_key) where deleted_at is null;

create table inbox_items (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    -- Null: every user of the tenant sees it.
    owner_id uuid,
    source text not null check (source in ('email', 'manual')),
    -- The source's name for it: items with the same name are added once.
    dedupe_key text not null check (char_length(dedupe_key) between 1 and 255),
    title text not null check (char_length(title) between 1 and 200),
    rationale text not null,
    priority text not null check (priority in ('low', 'medium', 'high', 'urgent')),
    state text not null default 'open'
        check (state in ('open', 'deferred', 'completed', 'dismissed', 'converted_to_task')),
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
-- A finished item keeps its name, so that the same message does not come back.
create unique index inbox_items_source_key on inbox_items (tenant_id, owner_id, source, dedupe_key)
    nulls not distinct;
create index inbox_items_open on inbox_items (tenant_id, owner_id) where state in ('open', 'deferred');
create index inbox_items_message on inbox_items (tenant_id, message_id) where message_id is not null;
