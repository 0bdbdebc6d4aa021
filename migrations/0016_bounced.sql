-- Emails that were sent and came back.

alter table effects drop constraint effects_status_check;
alter table effects add constraint effects_status_check check (status in (
    'intent', 'in_flight', 'succeeded', 'bounced', 'failed_permanent', 'retryable', 'unknown', 'reconciling', 'needs_human',
    'compensating', 'compensated', 'compensation_failed')) not valid;
alter table effects validate constraint effects_status_check;
