-- Tenants, their users, and how a user comes to be: invites.
-- Every key of a tenant's table starts with tenant_id, so that a reference across tenants cannot be written
-- and row-level security or one database per tenant stay possible.

create table tenants (
    id uuid primary key,
    slug text not null constraint tenants_slug_key unique,
    status text not null default 'active' check (status in ('trial', 'active', 'paused', 'closed')),
    trust_mode text not null default 'training_wheels'
        check (trust_mode in ('training_wheels', 'supervised', 'autonomous')),
    created_at timestamptz not null default now(),
    check (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$')
);

create table users (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    email text not null check (length(email) between 3 and 320),
    role text not null check (role in ('owner', 'admin', 'operator', 'member', 'auditor')),
    status text not null default 'active' check (status in ('active', 'suspended', 'deleted')),
    -- PHC string of argon2id; the parameters travel with it and are raised at the next login.
    password_hash text not null,
    timezone text not null default 'UTC',
    created_at timestamptz not null default now(),
    primary key (tenant_id, id)
);
-- One address is one user of a tenant, however it is capitalised; also the look-up of a login.
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
-- A resend revokes the former invite first; two live invites for one address would be two keys to one door.
create unique index invites_pending_key on invites (tenant_id, lower(email))
    where accepted_at is null and revoked_at is null;

-- Failed logins of the last minutes, per account and per address; swept by maintenance.
create table login_failures (
    -- sha256 over the scope and its value: the table names neither accounts nor addresses.
    subject bytea not null check (octet_length(subject) = 32),
    at timestamptz not null default now()
);
create index login_failures_subject on login_failures (subject, at);
create index login_failures_at on login_failures (at);
