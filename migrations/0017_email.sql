-- Whether drafts of answers have the original email below their text. Off, because it sends more than the model wrote.

alter table tenants add column quote_original boolean not null default false;

-- Emails that were sent and came back.

alter table effects drop constraint effects_status_check;
alter table effects add constraint effects_status_check check (status in (
    'intent', 'in_flight', 'succeeded', 'bounced', 'failed_permanent', 'retryable', 'unknown', 'reconciling', 'needs_human',
    'compensating', 'compensated', 'compensation_failed')) not valid;
alter table effects validate constraint effects_status_check;

-- Retention deletes what was read long ago.

create index if not exists fetched_emails_fetched_at on fetched_emails (fetched_at);
