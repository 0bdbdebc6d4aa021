-- What people have to do (tasks), what for (projects) and with whom (contacts). Deleting hides a row and can be taken back.

create table projects (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    name text not null check (char_length(name) between 1 and 100),
    -- The name as names are compared: made by us, because lower() depends on the database's locale.
    name_key text not null,
    status text not null check (status in ('backlog', 'ready', 'doing', 'blocked', 'done')),
    notes text check (char_length(notes) <= 1000),
    version int not null default 1 check (version > 0),
    created_by uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    -- Names the deletion: what went with it comes back with it, and nothing else.
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
    -- Nobody if a rule made it.
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
-- For taking a deletion back, and for the key to projects.
create index tasks_project on tasks (tenant_id, project_id) where project_id is not null;

-- The mails that a task is about.
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
-- One address is one person; names may meet.
create unique index contacts_email_key on contacts (tenant_id, email_key) where deleted_at is null;
create index contacts_name on contacts (tenant_id, name_key) where deleted_at is null;
