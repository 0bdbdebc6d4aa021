-- Approvals are carried out by a job, and what it did can be taken back.

alter table approvals
    -- The job that carries out the present version.
    add column execution_job uuid,
    add column executed_at timestamptz,
    add column failure_code text,
    add column failure_message text;
-- What is in hand, for finding the few whose job ended without a word.
create index approvals_in_hand on approvals (decided_at) where status in ('approved', 'executing', 'undoing');

alter table effects
    -- sha256 over what was to be done: a name of the caller's that is used for something else is told apart.
    add column payload_hash bytea check (octet_length(payload_hash) = 32);
create index effects_approval on effects (tenant_id, approval_id) where approval_id is not null;
