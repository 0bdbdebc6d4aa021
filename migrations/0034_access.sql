-- Who asked for an action through an API key, who has read the audit log, and an index for a user's sessions.

-- The user who created the API key that asked for this action: with four eyes, they do not approve it. Null if no key did, and
-- if the key only submitted the email that it follows from. Apart from requested_by, in whose name an action is executed.
alter table approvals add column key_creator uuid;

-- When a reading of the audit log was last written down for this session or key; null if it has read nothing.
alter table sessions add column audit_read_at timestamptz;
alter table api_keys add column audit_read_at timestamptz;

-- Without the predicate revoked_at is null: when a user was last seen and whether an address is new ask for all of their
-- sessions, and read the whole table for each user.
create index if not exists sessions_of_user on sessions (tenant_id, user_id);
drop index if exists sessions_user;
