-- Retention deletes what was read long ago.

create index if not exists fetched_emails_fetched_at on fetched_emails (fetched_at);
