-- Approvals are decided: what lapses is found without reading what was decided long ago, and lists are read by their id.

create index approvals_lapsing on approvals (expires_at) where status = 'proposed';
