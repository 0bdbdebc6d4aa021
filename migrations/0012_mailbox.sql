-- Watched mailboxes: which folders are watched, how far each was read, and the worker that reads them. Backfills of older
-- email.

-- One row per watched connection. One worker at a time holds its lease, so that a mail server sees one session of ours per
-- account and no email is read twice at the same time.
create table mailbox_watches (
    tenant_id uuid not null,
    connection_id uuid not null,
    -- Emails that the server received before are not read.
    since timestamptz not null,
    -- The worker that holds the lease, and the fence that each of its writes names.
    lease_worker uuid,
    lease_until timestamptz,
    epoch bigint not null default 0,
    next_check_at timestamptz not null default now(),
    -- Failed checks in a row; the wait grows with them.
    failures int not null default 0 check (failures >= 0),
    -- The code of the last failure; null after a check that succeeded.
    last_error text,
    created_at timestamptz not null default now(),
    primary key (tenant_id, connection_id),
    foreign key (tenant_id, connection_id) references connections (tenant_id, id)
);
create index mailbox_watches_due on mailbox_watches (next_check_at);

create table watched_folders (
    tenant_id uuid not null,
    connection_id uuid not null,
    -- As the user names it; `\Sent` is the folder of sent mail, whatever its name.
    folder text not null,
    -- The cursor: UIDs up to last_uid were read under this UIDVALIDITY. Null before the first check.
    uid_validity bigint check (uid_validity >= 0),
    last_uid bigint not null default 0 check (last_uid >= 0),
    highest_modseq bigint,
    checked_at timestamptz,
    -- When the last email was read, and how many were; those that were too large or unreadable are skipped.
    last_email_at timestamptz,
    emails bigint not null default 0,
    skipped bigint not null default 0,
    -- The code of the last failure of this folder alone, such as a folder that does not exist.
    last_error text,
    created_at timestamptz not null default now(),
    primary key (tenant_id, connection_id, folder),
    foreign key (tenant_id, connection_id) references mailbox_watches (tenant_id, connection_id) on delete cascade
);

-- What was read from a mailbox, by content. UIDs lose their meaning when a server changes UIDVALIDITY; by its content an
-- email that is read again gets no second job.
create table fetched_emails (
    tenant_id uuid not null,
    connection_id uuid not null,
    content_hash bytea not null check (octet_length(content_hash) = 32),
    message_id uuid not null,
    fetched_at timestamptz not null default now(),
    primary key (tenant_id, connection_id, content_hash),
    foreign key (tenant_id, connection_id) references connections (tenant_id, id)
);

-- How far backfill jobs have come.
create table backfills (
    tenant_id uuid not null references tenants (id),
    job_id uuid not null,
    -- The cursor, as in watched_folders.
    uid_validity bigint not null check (uid_validity >= 0),
    last_uid bigint not null check (last_uid >= 0),
    emails bigint not null,
    enqueued bigint not null,
    skipped bigint not null,
    primary key (tenant_id, job_id)
);
