-- The history is read: what became of one thing is found without reading what became of all others.

create index history_entries_object on history_entries (tenant_id, object_id, id);
