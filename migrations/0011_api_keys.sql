-- API keys, password resets, fresh authentication and the tenant's four-eyes rule.

-- What programs authenticate with. A key is an identity of its own: it outlives its creator's session and account.
create table api_keys (
    tenant_id uuid not null references tenants (id),
    id uuid not null constraint api_keys_id_key unique,
    name text not null check (length(name) between 1 and 100),
    -- No key approves, manages access or reads what belongs to one person. Checked here too, against any writer.
    scopes text[] not null constraint api_keys_scopes_known check (cardinality(scopes) > 0 and scopes <@ array[
        'jobs:read', 'jobs:write', 'rules:read', 'rules:write', 'approvals:read', 'records:read', 'records:write',
        'history:read', 'audit:read']),
    -- Null: from any address.
    address_ranges cidr[] check (cardinality(address_ranges) between 1 and 20),
    -- Null if it was created from the command line.
    created_by uuid,
    created_at timestamptz not null default now(),
    -- Null: it does not expire.
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    primary key (tenant_id, id)
) with (fillfactor = 80); -- last_used_at is updated in place (HOT); no index may contain it
create index api_keys_live on api_keys (tenant_id, created_at) where revoked_at is null;

-- The tokens of a key: the newest, and those that were rotated away and are valid for a while.
create table api_key_tokens (
    -- sha256 over the kind of token and the token, as in session_tokens.
    token_hash bytea primary key check (octet_length(token_hash) = 32),
    tenant_id uuid not null,
    api_key_id uuid not null,
    -- For people who compare a token with the list of keys.
    last4 text not null check (length(last4) = 4),
    issued_at timestamptz not null default now(),
    -- Null for the newest.
    valid_until timestamptz,
    foreign key (tenant_id, api_key_id) references api_keys (tenant_id, id) on delete cascade
);
create unique index api_key_tokens_newest on api_key_tokens (tenant_id, api_key_id) where valid_until is null;

-- One-time links with which a user sets a new password. Created by an owner or an admin; we send no email of our own.
create table password_resets (
    tenant_id uuid not null,
    -- A user has one; another replaces it, and using it deletes it.
    user_id uuid not null,
    token_hash bytea not null constraint password_resets_token_hash_key unique check (octet_length(token_hash) = 32),
    -- Null if it was created from the command line.
    created_by uuid,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    primary key (tenant_id, user_id),
    foreign key (tenant_id, user_id) references users (tenant_id, id)
);

-- When the user last typed their password in this session; what concerns access asks for a recent time.
alter table sessions add column authenticated_at timestamptz not null default now();

alter table sessions drop constraint sessions_revoke_reason_check;
alter table sessions add constraint sessions_revoke_reason_check
    check (revoke_reason in ('logout', 'revoked', 'reuse', 'excess', 'admin', 'password')) not valid;
alter table sessions validate constraint sessions_revoke_reason_check;

alter table audit_entries drop constraint audit_entries_actor_kind_check;
alter table audit_entries add constraint audit_entries_actor_kind_check
    check (actor_kind in ('user', 'api_key', 'worker', 'system', 'cli')) not valid;
alter table audit_entries validate constraint audit_entries_actor_kind_check;

-- Who may decide another user's drafts.
create table delegations (
    tenant_id uuid not null,
    user_id uuid not null,
    delegate_id uuid not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, user_id, delegate_id),
    foreign key (tenant_id, user_id) references users (tenant_id, id),
    foreign key (tenant_id, delegate_id) references users (tenant_id, id),
    check (user_id <> delegate_id)
);

-- A paused tenant may run 0 jobs at once; the limit that it had is kept until it is resumed.
alter table queue_limits drop constraint queue_limits_max_running_check;
alter table queue_limits add constraint queue_limits_max_running_check
    check (max_running between 0 and 100000) not valid;
alter table queue_limits validate constraint queue_limits_max_running_check;
alter table tenants add column limit_before_pause int check (limit_before_pause between 1 and 100000);

-- Who asked for an action does not approve it.
alter table tenants add column four_eyes boolean not null default false;
-- The user whose request proposed it; null for what a triage or an API key proposed.
alter table approvals add column requested_by uuid;

-- Readers follow the audit log by transaction, and within one by number: behind the oldest transaction that is still open
-- nothing is added any more. The order of ids is not the order of commits. Both columns are set by the database.
alter table audit_entries
    add column xid xid8 not null default pg_current_xact_id(),
    add column seq bigint generated always as identity (cache 100),
    drop constraint audit_entries_pkey,
    add constraint audit_entries_pkey primary key (tenant_id, xid, seq);

-- Seals over the audit log: each covers the entries of a tenant between its predecessor's last and its own last.
create table audit_seals (
    tenant_id uuid not null,
    -- 1, 2, 3 … of the tenant.
    position bigint not null check (position > 0),
    last_xid xid8 not null,
    last_seq bigint not null,
    entries int not null check (entries > 0),
    -- The root of the Merkle tree over the entries (RFC 6962).
    root bytea not null check (octet_length(root) = 32),
    -- sha256 over the tenant's previous seal and this one.
    hash bytea not null check (octet_length(hash) = 32),
    -- 1, 2, 3 … of all tenants, and sha256 over the previous number's chain and this hash: its newest value, kept
    -- elsewhere, shows when the end of the log was cut off.
    number bigint not null constraint audit_seals_number_key unique check (number > 0),
    chain bytea not null check (octet_length(chain) = 32),
    sealed_at timestamptz not null default now(),
    primary key (tenant_id, position)
);
create trigger audit_seals_append_only before update or delete on audit_seals
    for each row execute function refuse_change();
create trigger audit_seals_no_truncate before truncate on audit_seals
    for each statement execute function refuse_change();
alter table audit_seals enable always trigger audit_seals_append_only;
alter table audit_seals enable always trigger audit_seals_no_truncate;
