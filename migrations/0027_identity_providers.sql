-- Sign-in by others: a tenant's identity provider, whose tokens open sessions.

create table identity_providers (
    -- A tenant has one.
    tenant_id uuid primary key references tenants (id),
    -- What its tokens carry as `iss` and `aud`.
    issuer text not null check (length(issuer) between 1 and 500),
    audience text not null check (length(audience) between 1 and 500),
    -- Where a worker fetches the keys. Null: they were given, and stay until others are.
    jwks_url text check (length(jwks_url) between 1 and 500),
    -- A JSON Web Key Set (RFC 7517). Null until it was fetched.
    keys jsonb,
    fetched_at timestamptz,
    -- When a worker last asked for the keys, whatever it got.
    asked_at timestamptz,
    -- When a token last named a key that is not among them.
    wanted_at timestamptz,
    -- Why the last answer was of no use.
    last_error text,
    created_at timestamptz not null default now(),
    check (jwks_url is not null or keys is not null)
);

-- Tokens that have opened a session: each does so once. Maintenance deletes those that have expired.
create table exchanged_tokens (
    tenant_id uuid not null references tenants (id),
    -- sha256 of what is signed.
    token_hash bytea not null check (octet_length(token_hash) = 32),
    expires_at timestamptz not null,
    primary key (tenant_id, token_hash)
);
create index exchanged_tokens_expires_at on exchanged_tokens (expires_at);

alter table sessions drop constraint sessions_auth_method_check;
alter table sessions add constraint sessions_auth_method_check
    check (auth_method in ('password', 'invite', 'dev', 'oidc')) not valid;
alter table sessions validate constraint sessions_auth_method_check;
