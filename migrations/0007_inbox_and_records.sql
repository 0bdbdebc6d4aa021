-- Users' tasks, projects and contacts, and the inbox of what needs their attention, with reminders of emails that wait
-- for an answer and with the day's digest.

-- Deleting a task, a project or a contact hides its row and can be undone.

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
-- For forgetting: each deleted email is looked for here.
create index task_messages_message on task_messages (tenant_id, message_id);

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
    source text not null check (source in ('email', 'manual', 'follow_up', 'digest')),
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

-- Emails of users that wait for an answer. A row is deleted with its email, because its title is the email's.
create table follow_ups (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    user_id uuid not null,
    -- The email that waits, as a message of its own if it was sent by us.
    message_id uuid not null,
    rfc_message_id text not null,
    -- The other emails of the thread, by their Message-IDs in angle brackets. An answer to one of them ends the wait too
    -- if it was sent later than the email that waits.
    thread text[] not null default '{}',
    title text not null check (char_length(title) between 1 and 200),
    reminder text not null check (reminder in ('item', 'draft')),
    status text not null default 'waiting'
        check (status in ('waiting', 'reminded', 'answered', 'continued', 'cancelled')),
    sent_at timestamptz not null,
    due_at timestamptz not null,
    -- What the user was reminded with.
    item_id uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (tenant_id, id),
    constraint follow_ups_email unique (tenant_id, rfc_message_id),
    foreign key (tenant_id, message_id) references messages (tenant_id, id) on delete cascade
);
create index follow_ups_due on follow_ups (due_at) where status = 'waiting';
create index follow_ups_message on follow_ups (tenant_id, message_id);
create index follow_ups_thread on follow_ups using gin (thread) where status in ('waiting', 'reminded');
-- Reminders whose draft was given up are looked for every half a minute.
create index finished_jobs_discarded_drafts on finished_jobs (finished_at)
    where state = 'discarded' and kind = 'draft.generate';

-- One digest a user and day, however many workers build it.
create table digests (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    user_id uuid not null,
    -- The day in the user's time zone.
    day date not null,
    -- Null: there was nothing to report.
    item_id uuid,
    created_at timestamptz not null default now(),
    primary key (tenant_id, id),
    constraint digests_day unique (tenant_id, user_id, day)
);
-- For forgetting: digests that may name an email are those that came after it.
create index digests_created_at on digests (tenant_id, created_at);

-- Emails that were put off until the next digest.
create table digest_entries (
    tenant_id uuid not null,
    id uuid not null,
    user_id uuid not null,
    message_id uuid not null,
    title text not null check (char_length(title) between 1 and 200),
    note text check (char_length(note) <= 300),
    -- The digest that has it. Null: the next one.
    digest_id uuid,
    created_at timestamptz not null default now(),
    primary key (tenant_id, id),
    foreign key (tenant_id, message_id) references messages (tenant_id, id) on delete cascade,
    foreign key (tenant_id, digest_id) references digests (tenant_id, id)
);
create unique index digest_entries_next on digest_entries (tenant_id, user_id, message_id) where digest_id is null;
create index digest_entries_message on digest_entries (tenant_id, message_id);
create index digest_entries_digest on digest_entries (tenant_id, digest_id) where digest_id is not null;
