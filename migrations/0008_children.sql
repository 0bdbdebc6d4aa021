-- A job that waits for the children it enqueued has ended its attempt in yet another way.
alter table job_attempts drop constraint job_attempts_outcome_check;
alter table job_attempts add constraint job_attempts_outcome_check check (
    outcome in ('retried', 'discarded', 'cancelled', 'interrupted', 'snoozed', 'waiting', 'crashed'));
