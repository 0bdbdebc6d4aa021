-- Tenants, their users, invites and sessions, and the answers stored for their requests.
-- Every key of a tenant's table starts with tenant_id, so that a reference across tenants cannot be written, and
-- row-level security or one database per tenant stay possible.

create table tenants (
    id uuid primary key,
    slug text not null constraint tenants_slug_key unique,
    status text not null default 'active' check (status in ('trial', 'active', 'paused', 'closed')),
    trust_mode text not null default 'training_wheels'
        check (trust_mode in ('training_wheels', 'supervised', 'autonomous')),
    -- Stops everything that would leave the tenant: messages, invitations, webhooks.
    sending_disabled boolean not null default false,
    -- What to do with a message that may have been sent when the provider cannot say whether it was.
    unknown_sends text not null default 'ask' check (unknown_sends in ('ask', 'resend')),
    created_at timestamptz not null default now(),
    check (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$')
);

create table users (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    email text not null check (length(email) between 3 and 320),
    role text not null check (role in ('owner', 'admin', 'operator', 'member', 'auditor')),
    status text not null default 'active' check (status in ('active', 'suspended', 'deleted')),
    -- PHC string of argon2id. It carries its parameters, which are raised at the next login.
    password_hash text not null,
    timezone text not null default 'UTC',
    created_at timestamptz not null default now(),
    primary key (tenant_id, id)
);
-- An address belongs to one user of a tenant, whatever its case. Logins look users up here.
create unique index users_email_key on users (tenant_id, lower(email));

create table invites (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    email text not null check (length(email) between 3 and 320),
    role text not null check (role in ('owner', 'admin', 'operator', 'member', 'auditor')),
    token_hash bytea not null constraint invites_token_hash_key unique check (octet_length(token_hash) = 32),
    -- Null for the first owner, who is invited from the command line.
    invited_by uuid,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    accepted_at timestamptz,
    revoked_at timestamptz,
    primary key (tenant_id, id),
    check (accepted_at is null or revoked_at is null)
);
-- An address has one live invite at most; sending it again revokes the former one first.
create unique index invites_pending_key on invites (tenant_id, lower(email))
    where accepted_at is null and revoked_at is null;

-- Failed logins of the last minutes, per account and per address. Maintenance deletes old rows.
create table login_failures (
    -- sha256 over the scope and its value: the table names neither accounts nor addresses.
    subject bytea not null check (octet_length(subject) = 32),
    at timestamptz not null default now()
);
create index login_failures_subject on login_failures (subject, at);
create index login_failures_at on login_failures (at);

-- A session is a family of token generations. Only this row says whether it is alive: with a flag per token, a
-- descendant of a revoked family could be refreshed.
create table sessions (
    tenant_id uuid not null,
    id uuid not null constraint sessions_id_key unique,
    user_id uuid not null,
    auth_method text not null check (auth_method in ('password', 'invite', 'dev')),
    created_at timestamptz not null default now(),
    last_used_at timestamptz not null default now(),
    expires_at timestamptz not null,
    idle_timeout interval not null check (idle_timeout > interval '0'),
    idle_expires_at timestamptz not null,
    revoked_at timestamptz,
    revoke_reason text check (revoke_reason in ('logout', 'revoked', 'reuse', 'excess', 'admin')),
    ip inet,
    user_agent text check (length(user_agent) <= 256),
    primary key (tenant_id, id),
    foreign key (tenant_id, user_id) references users (tenant_id, id),
    check ((revoked_at is null) = (revoke_reason is null))
) with (fillfactor = 80); -- last_used_at is updated in place (HOT); no index may contain it
create index sessions_user on sessions (tenant_id, user_id) where revoked_at is null;

create table session_tokens (
    -- sha256 over the kind of token and the token: a database dump holds nothing that opens a session.
    token_hash bytea primary key check (octet_length(token_hash) = 32),
    session_id uuid not null references sessions (id) on delete cascade,
    generation int not null check (generation > 0),
    issued_at timestamptz not null default now(),
    first_used_at timestamptz,
    superseded_at timestamptz,
    -- A superseded token is accepted until then: its successor may have been lost on the way to the client.
    grace_until timestamptz,
    -- A successor that was issued, never used and replaced by a sibling; a later use of it counts as reuse.
    retired_at timestamptz,
    check ((superseded_at is null) = (grace_until is null))
);
create index session_tokens_session on session_tokens (session_id, generation);

-- Idempotency keys. The answer is stored in the transaction that did the work, and replayed to repeated requests.
create table request_keys (
    tenant_id uuid not null,
    actor_id uuid not null,
    operation text not null,
    key text not null check (length(key) between 1 and 255),
    fingerprint bytea not null check (octet_length(fingerprint) = 32),
    -- Null only inside the transaction that claims the key.
    status smallint,
    location text,
    body bytea,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    primary key (tenant_id, actor_id, operation, key)
);
create index request_keys_expires_at on request_keys (expires_at);
