-- The accounts of users, what is watched of them, the messages that were submitted or read, and which of them refer to
-- which.

-- Users' accounts at mail servers, calendars and webhooks. Their secrets are sealed with keys that only we hold.
create table connections (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    user_id uuid not null,
    provider text not null check (provider in ('imap_smtp', 'caldav', 'webhook')),
    -- The sender's address; the URL of a calendar or a webhook.
    address text not null,
    display_name text,
    -- Servers, ports and how they are encrypted; no secrets.
    settings jsonb not null,
    -- version | length of the key's id | the key's id | nonce | ciphertext; empty after the connection was revoked.
    secret bytea not null,
    -- The key that seals the secret.
    key_id text not null,
    status text not null default 'active' check (status in ('active', 'degraded', 'reauth_required', 'revoked')),
    -- An error code, while the connection is not active.
    last_error text,
    sends_per_hour int not null default 60 check (sends_per_hour between 1 and 10000),
    max_recipients int not null default 20 check (max_recipients between 1 and 1000),
    version int not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (tenant_id, id),
    foreign key (tenant_id, user_id) references users (tenant_id, id)
);
create unique index connections_address_key on connections (tenant_id, user_id, lower(address)) where status <> 'revoked';

-- Webhooks that are called when jobs end.
create table subscriptions (
    tenant_id uuid not null,
    connection_id uuid not null,
    events text[] not null constraint subscriptions_events_known check (cardinality(events) > 0 and events <@ array[
        'job.succeeded', 'job.discarded', 'job.cancelled']),
    status text not null default 'active' check (status in ('active', 'suspended', 'ended')),
    -- Why it is not active.
    last_error text,
    -- A place in the tenant's audit log: what stands up to it was delivered, or is not wanted.
    position_xid xid8 not null,
    position_seq bigint not null,
    -- The job that delivers, or did so last. Only it moves the position over events.
    delivery_job_id uuid,
    delivered bigint not null default 0 check (delivered >= 0),
    last_delivered_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (tenant_id, connection_id),
    foreign key (tenant_id, connection_id) references connections (tenant_id, id)
) with (fillfactor = 70); -- the position is updated in place (HOT); no index may contain it
create index subscriptions_active on subscriptions (tenant_id, connection_id) where status = 'active';

-- Watched mailboxes, one row per watched connection. One worker at a time holds its lease, so that a mail server sees one
-- session of ours per account and no email is read twice at the same time.
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

-- Which folders are watched, and how far each was read.
create table watched_folders (
    tenant_id uuid not null,
    connection_id uuid not null,
    -- As the user names it; `\Sent` is the folder of sent mail, whatever its name.
    folder text not null,
    -- The cursor: UIDs up to last_uid were read under this UIDVALIDITY. Null before the first check.
    uid_validity bigint check (uid_validity >= 0),
    last_uid bigint not null default 0 check (last_uid >= 0),
    checked_at timestamptz,
    -- When the last email was read, and how many were; those that were too large or unreadable are skipped.
    last_email_at timestamptz,
    emails bigint not null default 0,
    skipped bigint not null default 0,
    -- The email at which the connection broke off when the folder was last read, and how often in a row. It is passed
    -- over in the end, so that one email does not keep a folder from being read.
    broken_uid bigint check (broken_uid > 0),
    broken_tries int check (broken_tries > 0),
    -- The code of the last failure of this folder alone, such as a folder that does not exist.
    last_error text,
    created_at timestamptz not null default now(),
    primary key (tenant_id, connection_id, folder),
    foreign key (tenant_id, connection_id) references mailbox_watches (tenant_id, connection_id) on delete cascade,
    constraint watched_folders_broken_check check ((broken_uid is null) = (broken_tries is null))
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
-- Retention deletes what was read long ago.
create index fetched_emails_fetched_at on fetched_emails (fetched_at);

-- Backfills of older email: how far their jobs have come.
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

create table messages (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    -- How the message was submitted; `source` holds it unchanged until retention deletes it.
    format text not null check (format in ('rfc822', 'envelope')),
    source bytea not null,
    -- sha256 over Message-ID, sender, date, subject and text: copies that differ only in transport are one message.
    content_hash bytea not null check (octet_length(content_hash) = 32),
    received_at timestamptz not null default now(),
    primary key (tenant_id, id)
);
create index messages_content_hash on messages (tenant_id, content_hash);
-- For forgetting: with an old email of which a job has need, the next ones are found behind it.
create index messages_received_at on messages (tenant_id, received_at, id);

-- Messages that a tenant's own users wrote in a thread, one row per message that such a message refers to. A draft for a
-- thread that its user has written to since is not sent.
create table own_messages (
    tenant_id uuid not null,
    message_id uuid not null,
    -- The Message-ID that it refers to, in angle brackets.
    refers_to text not null,
    -- True for the message that it replies to, false for others of the thread.
    answers boolean not null,
    user_id uuid not null,
    sent_at timestamptz not null,
    primary key (tenant_id, refers_to, message_id, user_id),
    foreign key (tenant_id, message_id) references messages (tenant_id, id)
);
create index own_messages_message on own_messages (tenant_id, message_id);

-- Which emails refer to which, of users and of everybody else. Kept for all emails, because the Sent folder may be read
-- after the answer to what is in it.
create table thread_answers (
    tenant_id uuid not null,
    refers_to text not null,
    message_id uuid not null,
    -- When the email was sent, as it says itself; when it was stored if it does not say, or names the future.
    sent_at timestamptz not null,
    primary key (tenant_id, refers_to, message_id),
    foreign key (tenant_id, message_id) references messages (tenant_id, id) on delete cascade
);
create index thread_answers_message on thread_answers (tenant_id, message_id);
