-- Emails that wait for an answer, daily digests, and what each user wants of both.
--
-- From these binaries on `watched_folders.highest_modseq` is neither read nor written; the next release drops it.

alter table users
    -- Null: emails that this user sends are not followed up.
    add column follow_up_days smallint check (follow_up_days between 1 and 90),
    add column follow_up text not null default 'item',
    -- When the user's day's digest comes, in the user's time zone. Null: none.
    add column digest_at time,
    add column digest_by_email boolean not null default false,
    -- The next moment at which it is `digest_at` there. Computed by the program, whose time zones may be newer than Postgres'.
    add column next_digest_at timestamptz,
    add constraint users_follow_up_check check (follow_up in ('item', 'draft')),
    add constraint users_digest_check check ((digest_at is null) = (next_digest_at is null));
create index users_next_digest on users (next_digest_at) where next_digest_at is not null;

-- Null: as its user wants it; 0: not at all.
alter table drafts add column follow_up_days smallint check (follow_up_days between 0 and 90);

-- Which emails refer to which, of users and of everybody else. Kept for all emails, because the Sent folder may be read
-- after the answer to what is in it.
create table thread_answers (
    tenant_id uuid not null,
    refers_to text not null,
    message_id uuid not null,
    primary key (tenant_id, refers_to, message_id),
    foreign key (tenant_id, message_id) references messages (tenant_id, id) on delete cascade
);
create index thread_answers_message on thread_answers (tenant_id, message_id);

-- Emails of users that wait for an answer. A row is deleted with its email, because its title is the email's.
create table follow_ups (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    user_id uuid not null,
    -- The email that waits, as a message of its own if it was sent by us.
    message_id uuid not null,
    rfc_message_id text not null,
    title text not null check (char_length(title) between 1 and 200),
    reminder text not null constraint follow_ups_reminder_check check (reminder in ('item', 'draft')),
    status text not null default 'waiting' constraint follow_ups_status_check
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

alter table inbox_items drop constraint inbox_items_source_check;
alter table inbox_items add constraint inbox_items_source_check
    check (source in ('email', 'manual', 'follow_up', 'digest')) not valid;
alter table inbox_items validate constraint inbox_items_source_check;
