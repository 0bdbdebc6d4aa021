-- Who changed what is proposed: with four eyes, neither who asked for an action nor who edited it approves it.

-- The user who wrote the present payload by an edit or a revision; null if it is as it was proposed.
alter table approvals add column edited_by uuid;
