-- A session is a family of token generations. The family row alone says whether it lives:
-- flags per token were how others refreshed a descendant of a revoked family.

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
    revoke_reason text check (revoke_reason in ('logout', 'revoked', 'reuse', 'excess', 'password', 'admin')),
    ip inet,
    user_agent text check (length(user_agent) <= 256),
    primary key (tenant_id, id),
    foreign key (tenant_id, user_id) references users (tenant_id, id),
    check ((revoked_at is null) = (revoke_reason is null))
) with (fillfactor = 80); -- last_used_at is touched in place (HOT); no index may name it

create index sessions_of_user on sessions (tenant_id, user_id) where revoked_at is null;

create table session_tokens (
    -- sha256 over the kind of token and the token: a database dump holds nothing that opens a session.
    token_hash bytea primary key check (octet_length(token_hash) = 32),
    session_id uuid not null references sessions (id) on delete cascade,
    generation int not null check (generation > 0),
    issued_at timestamptz not null default now(),
    first_used_at timestamptz,
    superseded_at timestamptz,
    -- Until then a superseded token still answers: its successor may have been lost on the way to the client.
    grace_until timestamptz,
    -- A successor that was minted, never used and replaced by a sibling; its use later is reuse.
    retired_at timestamptz,
    check ((superseded_at is null) = (grace_until is null))
);
create index session_tokens_session on session_tokens (session_id, generation);
